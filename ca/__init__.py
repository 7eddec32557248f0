"""The service that signs certificates, its pages, and the commands of engineers and operators."""
