"""Brevo: one upsert per contact, POST /contacts with `updateEnabled`. https://developers.brevo.com/reference/create-contact"""
