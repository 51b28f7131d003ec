"""Options of a server about who its clients are, and what they may do."""

from __future__ import annotations

from fluss_server.config.option import Option, OptionType

SECURITY_OPTIONS = (
    Option(
        "security.protocol.map",
        OptionType.MAP,
        None,
        "How clients of a listener prove who they are: NAME:SASL, or NAME:PLAINTEXT for not at all, which holds for"
        " listeners that are not named.",
    ),
    Option(
        "security.sasl.enabled.mechanisms",
        OptionType.LIST,
        "PLAIN",
        "SASL mechanisms that clients may use. There is only PLAIN.",
    ),
    Option(
        "security.sasl.plain.credentials",
        OptionType.MAP,
        None,
        "Users that may log in: user:password,user2:password2. Replaces users of the same name in the JAAS text,"
        " the environment and the file.",
        dynamic=True,
        secret=True,
    ),
    Option(
        "security.sasl.plain.credentials.file",
        OptionType.STRING,
        None,
        "File with one user:password a line. A change of the file applies to the next authentication.",
    ),
    Option(
        "security.sasl.plain.credentials.env",
        OptionType.STRING,
        None,
        "Name of an environment variable that holds user:password,user2:password2.",
    ),
    Option(
        "security.sasl.plain.jaas.config",
        OptionType.STRING,
        None,
        "The users as JAAS text, for example org.apache.fluss.security.auth.sasl.plain.PlainLoginModule required"
        ' user_bob="password"; with the semicolon.',
        secret=True,
    ),
    Option(
        "security.sasl.listener.name.<listener>.plain.jaas.config",
        OptionType.STRING,
        None,
        "JAAS text with all the users of one listener, whose name is written in lower case.",
        secret=True,
    ),
    Option(
        "internal.listener.name",
        OptionType.STRING,
        "FLUSS",
        "Listener over which the servers of a cluster call each other; the same for all of them. Calls between"
        " servers are refused on every other listener. fluss local has none.",
    ),
    Option(
        "client.security.protocol",
        OptionType.STRING,
        "PLAINTEXT",
        "How this server authenticates at the other servers of its cluster: SASL, or PLAINTEXT for not at all.",
    ),
    Option(
        "client.security.sasl.mechanism",
        OptionType.STRING,
        "PLAIN",
        "SASL mechanism for that. There is only PLAIN.",
    ),
    Option(
        "client.security.sasl.username",
        OptionType.STRING,
        None,
        "User as which this server authenticates at the other servers. With authorizer.enabled it must be one of"
        " super.users there, or have ALL on the cluster.",
    ),
    Option(
        "client.security.sasl.password",
        OptionType.STRING,
        None,
        "Password of that user.",
        secret=True,
    ),
    Option(
        "client.security.sasl.jaas.config",
        OptionType.STRING,
        None,
        "User and password as JAAS text instead: org.apache.fluss.security.auth.sasl.plain.PlainLoginModule"
        ' required username="server" password="secret"; with the semicolon.',
        secret=True,
    ),
    Option(
        "authorizer.enabled",
        OptionType.BOOL,
        "false",
        "Check the permissions of the user for every request; see super.users.",
    ),
    Option(
        "super.users",
        OptionType.STRING,
        "",
        "Principals that may do everything: Type:name;Type:name, for example User:admin.",
    ),
    Option(
        "security.acl.max-age",
        OptionType.DURATION,
        "10 min",
        "How long a tablet server in a process of its own serves clients with the permissions that it knows, when"
        " it does not hear from the coordinator whether they changed. After that it serves super users only.",
        minimum=1000,
    ),
    Option(
        "security.acl.principal.ignore-case",
        OptionType.BOOL,
        "false",
        "Principals of access control entries that differ in case only are the same.",
    ),
)
