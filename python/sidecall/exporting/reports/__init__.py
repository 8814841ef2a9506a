"""What export and check show: tables, HTML for notebooks, a progress bar."""
