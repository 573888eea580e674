"""The options of TLS."""

from dataclasses import dataclass

from .option import option


@dataclass
class TlsOptions:
    """Connections are encrypted at `tls_port`, and those to other servers if so chosen."""

    tls_port: int = option(0, "port to listen on for connections with TLS; 0: none", settable=True, most=65535)
    tls_cert_file: str = option("", "the server's certificate", settable=True)
    tls_key_file: str = option("", "its private key", settable=True)
    tls_key_file_pass: str = option("", "the passphrase of the key", settable=True)
    tls_ca_cert_file: str = option("", "certificates of those who sign certificates of others", settable=True)
    tls_ca_cert_dir: str = option("", "a folder of them", settable=True)
    tls_auth_clients: str = option(
        "yes", "clients must show a certificate", choices=("no", "yes", "optional"), settable=True
    )
    tls_protocols: str = option("", "versions of TLS; empty: TLSv1.2 TLSv1.3", settable=True)
    tls_ciphers: str = option("", "ciphers for TLSv1.2 and before, as OpenSSL names them", settable=True)
    tls_prefer_server_ciphers: str = option(
        "no", "of the ciphers that a client allows, the server's order decides", choices=("yes", "no"), settable=True
    )
    tls_dh_params_file: str = option("", "parameters of the Diffie-Hellman key exchange", settable=True)
    tls_replication: str = option("no", "connect to the primary with TLS", choices=("yes", "no"), settable=True)
    tls_cluster: str = option("no", "connect to the targets of MIGRATE with TLS", choices=("yes", "no"), settable=True)
    tls_client_cert_file: str = option("", "the certificate for that, in place of the server's", settable=True)
    tls_client_key_file: str = option("", "its private key", settable=True)
    tls_client_key_file_pass: str = option("", "the passphrase of the key", settable=True)
