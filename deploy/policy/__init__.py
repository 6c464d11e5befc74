"""What the owner of a machine or of its data allows. Files in force are combined; each can only narrow."""
