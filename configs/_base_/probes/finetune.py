"""All of the backbone goes on learning."""

frozen_stages = -1
