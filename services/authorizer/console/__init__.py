"""The setup page: an IT admin connects the organisation, follows its progress, changes its policy, lets it go."""
