"""Organizations, projects, services, who may reach them, and what a login must show."""
