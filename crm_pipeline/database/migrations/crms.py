"""The CRMs that have columns in `contacts`: name -> the column of a contact's id there."""

CRMS = {
    "brevo": "brevo_contact_id",
    "hubspot": "hubspot_contact_id",
    "mautic": "mautic_contact_id",
    "n8n": "n8n_workflow_id",
}
