"""Start-up recipes of the servers that vision-language models run on."""
