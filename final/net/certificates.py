"""What TLS needs before a connection: certificates, who must show one, and which protocols and ciphers are allowed."""

import ssl

from ..config.options import Options

PROTOCOLS = {
    "tlsv1": ssl.TLSVersion.TLSv1,
    "tlsv1.1": ssl.TLSVersion.TLSv1_1,
    "tlsv1.2": ssl.TLSVersion.TLSv1_2,
    "tlsv1.3": ssl.TLSVersion.TLSv1_3,
}
USUAL = "TLSv1.2 TLSv1.3"
VERIFY = {"no": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "yes": ssl.CERT_REQUIRED}


class BadTls(ValueError):
    """What is wrong with the options of TLS."""


def in_use(options: Options) -> bool:
    """Return whether there are any connections with TLS."""
    return bool(options.tls_port) or "yes" in (options.tls_replication, options.tls_cluster)


def for_clients(options: Options) -> ssl.SSLContext:
    """Return what is needed to accept connections (Redis: `tlsConfigure`). Raises BadTls."""
    if not options.tls_cert_file:
        raise BadTls("No tls-cert-file configured!")
    if not options.tls_key_file:
        raise BadTls("No tls-key-file configured!")
    others = "yes" in (options.tls_replication, options.tls_cluster)
    if (others or options.tls_auth_clients != "no") and not (options.tls_ca_cert_file or options.tls_ca_cert_dir):
        raise BadTls(
            "Either tls-ca-cert-file or tls-ca-cert-dir must be specified when tls-cluster, tls-replication or"
            " tls-auth-clients are enabled!"
        )
    context = made(ssl.PROTOCOL_TLS_SERVER, options, VERIFY[options.tls_auth_clients])
    show(context, options.tls_cert_file, options.tls_key_file, options.tls_key_file_pass)
    context.options |= ssl.OP_NO_RENEGOTIATION
    if options.tls_prefer_server_ciphers == "no":
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if options.tls_dh_params_file:
        try:
            context.load_dh_params(options.tls_dh_params_file)
        except OSError as error:
            raise BadTls(f"Failed to load {options.tls_dh_params_file}: {error.strerror}") from None
    return context


def for_servers(options: Options) -> ssl.SSLContext:
    """Return what is needed to connect to other servers, whose certificates are verified. Raises BadTls."""
    context = made(ssl.PROTOCOL_TLS_CLIENT, options, ssl.CERT_REQUIRED)
    if options.tls_client_cert_file and options.tls_client_key_file:
        own = options.tls_client_cert_file, options.tls_client_key_file, options.tls_client_key_file_pass
    else:
        own = options.tls_cert_file, options.tls_key_file, options.tls_key_file_pass
    show(context, *own)
    return context


def made(protocol: int, options: Options, verify: ssl.VerifyMode) -> ssl.SSLContext:
    """Return a context that verifies as much as that. As in Redis, names of hosts are not. Raises BadTls."""
    context = ssl.SSLContext(protocol)
    context.check_hostname = False
    context.verify_mode = verify
    names = (options.tls_protocols or USUAL).lower().split(" ")
    if not set(names) <= PROTOCOLS.keys():
        said = "Use a combination of 'TLSv1', 'TLSv1.1', 'TLSv1.2' and 'TLSv1.3'."
        raise BadTls(f"Invalid tls-protocols specified. {said}")
    context.minimum_version = min(PROTOCOLS[name] for name in names)
    context.maximum_version = max(PROTOCOLS[name] for name in names)
    try:
        if options.tls_ca_cert_file or options.tls_ca_cert_dir:
            context.load_verify_locations(options.tls_ca_cert_file or None, options.tls_ca_cert_dir or None)
    except OSError as error:
        raise BadTls(f"Failed to configure CA certificate(s) file/directory: {error.strerror}") from None
    try:
        if options.tls_ciphers:
            context.set_ciphers(options.tls_ciphers)
    except ssl.SSLError:
        raise BadTls(f"Failed to configure ciphers: {options.tls_ciphers}") from None
    return context


def show(context: ssl.SSLContext, certificate: str, key: str, password: str) -> None:
    """Have the other side shown a certificate. Raises BadTls."""
    try:
        context.load_cert_chain(certificate, key or None, lambda: password)
    except (OSError, ValueError) as error:  # also SSLError
        raise BadTls(f"Failed to load {certificate} or {key}: {getattr(error, 'strerror', '') or error}") from None
