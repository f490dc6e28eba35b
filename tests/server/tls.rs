//! TLS: HTTP and WebSocket on one port, the commands that speak it, and certificates that change
//! while the server runs.

use std::process::Stdio;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::common::{PATIENCE, Setup, TestServer, eventually};

/// Somebody who vouches for a server.
struct Authority {
    certificate: String,
    /// The server's certificate and its key.
    issued: (String, String),
}

impl Authority {
    fn new() -> Authority {
        Authority::of(&["localhost", "127.0.0.1"])
    }

    /// For a server of these names.
    fn of(names: &[&str]) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).unwrap();
        let issued = params.signed_by(&key, &issuer).unwrap().pem();
        Authority {
            certificate,
            issued: (issued, key.serialize_pem()),
        }
    }
}

fn setup(authority: &Authority) -> Setup {
    let (certificate, key) = &authority.issued;
    Setup::new()
        .environment("DPMQ_SERVER_TLSCERT", "cert.pem")
        .environment("DPMQ_SERVER_TLSKEY", "key.pem")
        .file("cert.pem", certificate.as_bytes())
        .file("key.pem", key.as_bytes())
        .file("ca.pem", authority.certificate.as_bytes())
}

fn url(server: &TestServer, scheme: &str) -> String {
    let (_, port) = server.address().rsplit_once(':').unwrap();
    format!("{scheme}://localhost:{port}")
}

/// Runs a command against the server; what it printed, if it succeeded.
async fn run(server: &TestServer, args: &[&str], ca: &str) -> Result<String, String> {
    let url = url(server, "https");
    let args = [args, &["--url", &url, "--ca", ca]].concat();
    let output = server.run(&args).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    match output.status.success() {
        true => Ok(text(output.stdout)),
        false => Err(text(output.stderr)),
    }
}

#[tokio::test]
async fn every_command_speaks_tls_with_a_server_that_is_vouched_for() {
    let server = setup(&Authority::new()).start().await;
    let code = run(&server, &["send", "t", "hello"], "ca.pem")
        .await
        .unwrap();
    assert_eq!(code.trim().len(), 40);
    let wss = url(&server, "wss");
    let listen = [
        "listen", "t", "--count", "1", "--url", &wss, "--ca", "ca.pem",
    ];
    let output = server.run(&listen).await;
    assert_eq!(output.stdout, b"hello\n", "{output:?}");
    let load = [
        "bench",
        "--count",
        "200",
        "--producers",
        "2",
        "--size",
        "64",
    ];
    run(&server, &load, "ca.pem").await.unwrap();
    let over_http = [&load[..], &["--http", "--consumers", "0"]].concat();
    run(&server, &over_http, "ca.pem").await.unwrap();
    run(&server, &["backup", "copy"], "ca.pem").await.unwrap();
    let health = run(&server, &["health"], "ca.pem").await;
    assert_eq!(health.as_deref(), Ok("ready\n"));
    assert!(server.dir().join("copy").exists());
}

#[tokio::test]
async fn on_its_own_machine_a_server_is_known_by_its_certificate() {
    let server = setup(&Authority::of(&["broker.example"])).start().await;
    let (_, port) = server.address().rsplit_once(':').unwrap();
    let port = format!("server.port={port}");
    let ask = async |args: &[&str]| {
        let args = [args, &["--set", &port]].concat();
        let output = server.run(&args).await;
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.code().unwrap(),
            String::from_utf8(said).unwrap(),
        )
    };
    assert_eq!(ask(&["health"]).await, (0, "ready\n".to_owned()));
    assert_eq!(ask(&["send", "t", "x"]).await.0, 0);
    let (code, said) = ask(&["doctor"]).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(" is ready"), "{said}");
    assert!(said.contains("certificate and key can be used"), "{said}");

    let other = Authority::of(&["broker.example"]).issued.0;
    std::fs::write(server.dir().join("other.pem"), other).unwrap();
    let (code, said) = ask(&["health", "--set", "server.tlsCert=other.pem"]).await;
    assert_eq!(code, 1);
    assert!(said.contains("another certificate"), "{said}");
    let (code, said) = ask(&["doctor", "--set", "server.tlsCert=other.pem"]).await;
    assert_eq!(code, 1);
    assert!(said.contains("fail  tls"), "{said}");
}

/// A certificate that signs itself, as `openssl req -x509` makes it, for a server of these names.
fn self_signed(names: &[&str]) -> Authority {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap().pem();
    Authority {
        issued: (certificate.clone(), key.serialize_pem()),
        certificate,
    }
}

#[tokio::test]
async fn a_certificate_that_signs_itself_vouches_for_itself() {
    let server = setup(&self_signed(&["localhost"])).start().await;
    run(&server, &["send", "t", "x"], "cert.pem").await.unwrap();
    // The name counts all the same.
    let by_address = url(&server, "https").replace("localhost", "127.0.0.1");
    let args = ["health", "--url", &by_address, "--ca", "cert.pem"];
    let output = server.run(&args).await;
    let said = String::from_utf8(output.stderr).unwrap();
    let expected = "its certificate is not for 127.0.0.1, it is for localhost\n";
    assert!(said.ends_with(expected), "{said}");
    std::fs::write(
        server.dir().join("other.pem"),
        self_signed(&["localhost"]).certificate,
    )
    .unwrap();
    let said = run(&server, &["health"], "other.pem").await.unwrap_err();
    assert!(
        said.contains(": nobody who is trusted vouches for its certificate"),
        "{said}"
    );
    assert!(!said.contains('('), "words, no names of Rust: {said}");
}

#[tokio::test]
async fn a_certificate_without_names_is_told_how_to_be_made() {
    let server = setup(&self_signed(&[])).start().await;
    let said = run(&server, &["health"], "cert.pem").await.unwrap_err();
    assert!(said.contains("has no names"), "{said}");
    assert!(said.contains("-addext subjectAltName="), "{said}");
}

#[tokio::test]
async fn the_server_here_is_known_by_its_certificate_also_by_its_url() {
    let server = setup(&Authority::of(&["broker.example"])).start().await;
    let (_, port) = server.address().rsplit_once(':').unwrap();
    let set = format!("server.port={port}");
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("https://{host}:{port}");
        let output = server.run(&["health", "--set", &set, "--url", &url]).await;
        assert_eq!(output.stdout, b"ready\n", "{output:?}");
    }
    // That of another port is another server.
    let url = format!("https://localhost:{port}");
    let output = server.run(&["health", "--url", &url]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_told() {
    let server = TestServer::start().await;
    let url = format!("https://{}", server.address());
    let output = server.run(&["send", "t", "x", "--url", &url]).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("http:// or ws:// may be right"), "{said}");
}

#[tokio::test]
async fn a_reload_reads_the_certificate_again() {
    let server = setup(&Authority::new()).start().await;
    server.signal("HUP");
    eventually("it was read again", async || {
        server
            .log()
            .iter()
            .any(|line| line.contains("the certificate was read again"))
    })
    .await;
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_refused() {
    let server = setup(&Authority::new()).start().await;
    std::fs::write(server.dir().join("other.pem"), Authority::new().certificate).unwrap();
    let refused = run(&server, &["send", "t", "x"], "other.pem")
        .await
        .unwrap_err();
    assert!(refused.contains("--ca FILE"), "{refused}");
    let refused = run(&server, &["send", "t", "x"], "nothing.pem")
        .await
        .unwrap_err();
    assert!(refused.contains("cannot read nothing.pem"), "{refused}");
    let refused = run(&server, &["send", "t", "x"], "key.pem")
        .await
        .unwrap_err();
    assert!(refused.contains("key.pem has no certificate"), "{refused}");
}

#[tokio::test]
async fn whoever_does_not_speak_tls_is_told_or_shed() {
    let setup = setup(&Authority::new()).environment("DPMQ_SERVER_REQUESTSECONDS", "0.5");
    let server = setup.start().await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let plain = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    stream.write_all(plain).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("https://"), "{answer}");
    for begun in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01"] {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(begun).await.unwrap();
        let mut said = vec![];
        let end = stream.read_to_end(&mut said);
        timeout(PATIENCE, end).await.expect("it is shed").unwrap();
    }
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(&[0x16; 1000]).await.unwrap();
    let mut said = vec![];
    timeout(PATIENCE, stream.read_to_end(&mut said))
        .await
        .unwrap()
        .unwrap();
    run(&server, &["send", "t", "x"], "ca.pem").await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_changes_is_used_and_connections_stay() {
    let server = setup(&Authority::new()).start().await;
    let url = url(&server, "https");
    let listen = [
        "listen", "t", "--count", "2", "--url", &url, "--ca", "ca.pem",
    ];
    let mut listens = server
        .command(&listen)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(listens.stdout.take().unwrap()).lines();
    run(&server, &["send", "t", "before"], "ca.pem")
        .await
        .unwrap();
    let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
    assert_eq!(line.as_deref(), Some("before"));

    let write = |name: &str, text: &str| std::fs::write(server.dir().join(name), text).unwrap();
    write("cert.pem", "no certificate any more");
    eventually("the log says that it cannot be used", async || {
        let log = server.log();
        log.iter()
            .any(|line| line.contains("the old certificate stays in use"))
    })
    .await;
    run(&server, &["send", "other", "x"], "ca.pem")
        .await
        .unwrap();

    let next = Authority::new();
    write("next.pem", &next.certificate);
    write("key.pem", &next.issued.1);
    write("cert.pem", &next.issued.0);
    eventually("the next certificate is used", async || {
        run(&server, &["send", "other", "x"], "next.pem")
            .await
            .is_ok()
    })
    .await;
    run(&server, &["send", "other", "x"], "ca.pem")
        .await
        .unwrap_err();
    run(&server, &["send", "t", "after"], "next.pem")
        .await
        .unwrap();
    let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
    assert_eq!(line.as_deref(), Some("after"));
    let ended = timeout(PATIENCE, listens.wait()).await.unwrap().unwrap();
    assert!(ended.success());
}

#[tokio::test]
async fn files_that_are_replaced_one_after_the_other_are_no_error() {
    let setup = setup(&Authority::new()).environment("DPMQ_LOG_LEVEL", "info,dpmq::server=debug");
    let server = setup.start().await;
    let write = |name: &str, text: &str| std::fs::write(server.dir().join(name), text).unwrap();
    let next = Authority::new();
    write("next.pem", &next.certificate);
    write("cert.pem", &next.issued.0);
    let says = |text: &str| server.log().iter().any(|line| line.contains(text));
    eventually("it is looked at", async || says("cannot be used yet")).await;
    run(&server, &["send", "t", "x"], "ca.pem").await.unwrap();
    write("key.pem", &next.issued.1);
    eventually("both are used", async || {
        says("the certificate was read again")
    })
    .await;
    run(&server, &["send", "t", "x"], "next.pem").await.unwrap();
    assert!(!says(" ERROR "), "{:?}", server.log());
}

#[tokio::test]
async fn files_that_cannot_be_used_keep_the_server_from_starting() {
    let (authority, other) = (Authority::new(), Authority::new());
    for (name, text, reason) in [
        ("cert.pem", "", "cert.pem has no certificate"),
        ("key.pem", "", "server.tlsKey: cannot read key.pem"),
        (
            "key.pem",
            &*other.issued.1,
            "cert.pem and key.pem cannot be used",
        ),
    ] {
        let server = setup(&authority).file(name, text.as_bytes()).stopped();
        let output = server.run(&["serve", "--port", "0"]).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(reason), "{said}");
    }
    let server = Setup::new().stopped();
    let serve = ["serve", "--set", "server.tlsCert=cert.pem"];
    let output = server.run(&serve).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{said}");
    assert!(said.contains("server.tlsKey"), "{said}");
}

/// A connection to the server, whose certificate `authority` vouches for.
async fn secured(server: &TestServer, authority: &Authority) -> TlsStream<TcpStream> {
    offering(server, authority, &[]).await.unwrap()
}

/// The same, by one of these protocols.
async fn offering(
    server: &TestServer,
    authority: &Authority,
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    let pem = authority.certificate.as_bytes();
    roots
        .add(CertificateDer::from_pem_slice(pem).unwrap())
        .unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await
}

/// The head of the answer to a GET of `path`.
async fn head(mut stream: impl AsyncRead + AsyncWrite + Unpin, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![];
    // The end is none of TLS when the server is quick to close.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    answer.split_once("\r\n\r\n").unwrap().0.to_owned()
}

#[tokio::test]
async fn a_browser_is_told_to_come_back_by_tls() {
    let authority = Authority::new();
    let (server, plain) = (setup(&authority).start().await, TestServer::start().await);
    let told = "strict-transport-security: max-age=2592000";
    for path in [
        "/",
        "/view/favicon.svg",
        "/api/key",
        "/health/live",
        "/none",
    ] {
        let answer = head(secured(&server, &authority).await, path).await;
        assert!(answer.contains(told), "{answer}");
        let answer = head(TcpStream::connect(plain.address()).await.unwrap(), path).await;
        assert!(!answer.contains("strict-transport-security"), "{answer}");
    }
}

#[tokio::test]
async fn the_protocol_is_http_1_1_whatever_is_offered_beside_it() {
    let authority = Authority::new();
    let server = setup(&authority).start().await;
    let stream = offering(&server, &authority, &["h2", "http/1.1"])
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(head(stream, "/").await.starts_with("HTTP/1.1 200 "));
    assert!(offering(&server, &authority, &["h2"]).await.is_err());
}
