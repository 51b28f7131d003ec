"""Health check of a container: ends with 0 when the server says that it is healthy, and prints what it says."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request

try:
    with urllib.request.urlopen("http://127.0.0.1:9249/health", timeout=2) as response:
        print(response.read().decode(), end="")
except urllib.error.HTTPError as error:
    print(error.read().decode(), end="")
    sys.exit(1)
except OSError as error:
    print(f"no response: {error}")
    sys.exit(1)
