"""The token the services share in tests."""

TOKEN = "a-token-the-services-share"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
