"""Single sign-on: asking a provider who somebody is (OpenID Connect Core 1.0)."""
