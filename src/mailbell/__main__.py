"""`python -m mailbell`."""

from mailbell.cli.main import main

if __name__ == "__main__":
    main()
