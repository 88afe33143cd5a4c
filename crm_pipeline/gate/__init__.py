"""May I send, and when? One CRM's pace and pause, shared by all processes through its row in crm_gate."""
