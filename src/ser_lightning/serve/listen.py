"""Open the socket of the service."""

import socket

from ser_lightning.errors import InputError


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address.

    Args:
        host: address or name
        port: port; 0 for a free one

    Raises:
        InputError: the address cannot be used

    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address, family=family)
    except OSError as error:
        raise InputError(f"cannot listen on {host}:{port}: {error.strerror}; give another --host or --port") from error
