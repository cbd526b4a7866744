//! The encrypted channel: TLS 1.3 between raw public keys (RFC 7250), with the node's Ed25519 key on both sides.
//!
//! **The adversary** reads, changes, replays, redirects and cuts everything on the way, and dials whom it likes.
//!
//! * There are no certificates and no authorities: the key *is* the identity, and the genesis says whose it is.
//! * Version 1.3 only, one signature scheme, one key exchange, no tickets, no resumption, no early data: there is
//!   nothing to downgrade to, and nothing of one connection means anything in another.
//! * TLS answers one question here: *which key is at the other end*. It accepts every Ed25519 key that proves itself by
//!   its signature over the transcript. Whether the owner is welcome is for [`super::door`] to say, inside the channel,
//!   before the first frame: only there can the refusal say why. [`Channel`] therefore carries a key and no trust.
//!
//! Signatures of the TLS handshake are checked by aws-lc's rule, not by ZIP 215. The two may differ on malformed keys
//! and signatures that only their owner can make; no certificate contains a TLS signature, so nothing can fork on it.
//!
//! The same Ed25519 key signs protocol messages and TLS transcripts. The two never meet: what TLS signs starts with 64
//! spaces (RFC 8446, section 4.4.3) and is longer than 32 bytes, what the protocol signs is a bare 32-byte digest.

use std::sync::Arc;

use bezant_types::{AccountId, SecretKey};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, PeerIncompatible, ServerConfig,
    SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use zeroize::Zeroizing;

use super::event::Reason;

/// A node's key, ready to open channels with.
#[derive(Clone)]
pub(super) struct Tls {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

/// An encrypted connection, and the key whose owner is at the other end.
pub(super) struct Channel {
    pub(super) key: AccountId,
    pub(super) stream: TlsStream<TcpStream>,
}

impl Tls {
    /// Prepares both roles for the owner of `key`.
    pub(super) fn new(key: &SecretKey) -> Result<Self, rustls::Error> {
        Self::showing(key.account(), key, vec![ALPN.to_vec()])
    }

    /// Shows the public key `shown` and signs with `key`. Only an impostor would show a key that is not its own.
    fn showing(shown: AccountId, key: &SecretKey, protocols: Vec<Vec<u8>>) -> Result<Self, rustls::Error> {
        let provider = provider();
        let identity = Arc::new(certified(shown, key, &provider)?);
        let judge = Arc::new(AnyEd25519Key { algorithms: provider.signature_verification_algorithms });

        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(judge.clone())
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(identity.clone())));
        server.alpn_protocols = protocols.clone();
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        server.max_early_data_size = 0;

        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(judge)
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(identity)));
        client.alpn_protocols = protocols;
        client.resumption = Resumption::disabled();
        client.enable_early_data = false;
        client.enable_sni = false;

        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(server)), connector: TlsConnector::from(Arc::new(client)) })
    }

    /// The acceptor's side.
    pub(super) async fn accept(&self, socket: TcpStream) -> Result<Channel, Reason> {
        let stream = self.acceptor.accept(socket).await.map_err(|error| Reason::io(&error))?;
        Channel::new(TlsStream::Server(stream))
    }

    /// The dialer's side.
    pub(super) async fn connect(&self, socket: TcpStream) -> Result<Channel, Reason> {
        // Not sent, not compared: the key is the name.
        let name = ServerName::try_from("bezant").expect("a constant that is a name");
        let stream = self.connector.connect(name, socket).await.map_err(|error| Reason::io(&error))?;
        Channel::new(TlsStream::Client(stream))
    }
}

impl Channel {
    fn new(mut stream: TlsStream<TcpStream>) -> Result<Self, Reason> {
        // A frame's worth of records leaves in one write of the socket; what is written at once is bounded by the
        // writer.
        match &mut stream {
            TlsStream::Client(client) => client.get_mut().1.set_buffer_limit(None),
            TlsStream::Server(server) => server.get_mut().1.set_buffer_limit(None),
        }
        let (_, session) = stream.get_ref();
        if session.alpn_protocol() != Some(ALPN) {
            return Err(Reason::Channel("the peer did not agree on the application protocol bezant/1".into()));
        }
        let key = session
            .peer_certificates()
            .and_then(|chain| chain.first())
            .and_then(|spki| account_of(spki))
            .ok_or_else(|| Reason::Channel("the peer showed no key".into()))?;
        Ok(Self { key, stream })
    }
}

/// The provider, cut down to one way of doing each thing. AES-128 because it is the fastest with hardware support;
/// ChaCha20 for processors without.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![cipher_suite::TLS13_AES_128_GCM_SHA256, cipher_suite::TLS13_CHACHA20_POLY1305_SHA256],
        kx_groups: vec![kx_group::X25519],
        ..default_provider()
    })
}

fn certified(shown: AccountId, key: &SecretKey, provider: &CryptoProvider) -> Result<CertifiedKey, rustls::Error> {
    let mut der = Zeroizing::new(Vec::with_capacity(PKCS8_HEAD.len() + 32));
    der.extend_from_slice(&PKCS8_HEAD);
    der.extend_from_slice(key.seed().as_slice());
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der.to_vec()));
    // Loading consumes and wipes its copy; ours wipes itself.
    let signing = provider.key_provider.load_private_key(private)?;
    Ok(CertifiedKey::new(vec![CertificateDer::from(spki_of(shown))], signing))
}

fn spki_of(account: AccountId) -> Vec<u8> {
    [SPKI_HEAD.as_slice(), account.as_bytes()].concat()
}

fn account_of(spki: &[u8]) -> Option<AccountId> {
    let key = spki.strip_prefix(&SPKI_HEAD)?;
    Some(AccountId::new(key.try_into().ok()?))
}

/// Accepts whoever proves to hold the key that it shows. See the module head for why this is all that TLS is asked.
#[derive(Debug)]
struct AnyEd25519Key {
    algorithms: WebPkiSupportedAlgorithms,
}

impl AnyEd25519Key {
    fn check_shape(end_entity: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<(), rustls::Error> {
        if account_of(end_entity).is_none() || !others.is_empty() {
            return Err(CertificateError::BadEncoding.into());
        }
        Ok(())
    }

    fn check_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let spki = SubjectPublicKeyInfoDer::from(key.as_ref());
        verify_tls13_signature_with_raw_key(message, &spki, signature, &self.algorithms)
    }
}

/// TLS 1.2 is not compiled in; if it were, this would refuse it.
fn no_tls12() -> rustls::Error {
    rustls::Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered)
}

impl ServerCertVerifier for AnyEd25519Key {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Self::check_shape(end_entity, intermediates).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for AnyEd25519Key {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Self::check_shape(end_entity, intermediates).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

const ALPN: &[u8] = b"bezant/1";
/// What precedes the seed in a PKCS#8 private key, and the key in a SubjectPublicKeyInfo (RFC 8410, section 10).
const PKCS8_HEAD: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
const SPKI_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_seed([seed; 32])
    }

    /// Connects two nodes over loopback, and says whom each believes to speak to.
    async fn meet(server: Tls, client: Tls) -> (Result<AccountId, Reason>, Result<AccountId, Reason>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dialled = TcpStream::connect(listener.local_addr().unwrap());
        let (dialled, accepted) = tokio::join!(dialled, listener.accept());
        let (at_server, at_client) = tokio::join!(server.accept(accepted.unwrap().0), client.connect(dialled.unwrap()));
        (at_server.map(|channel| channel.key), at_client.map(|channel| channel.key))
    }

    #[tokio::test]
    async fn each_side_learns_the_others_key() {
        let met = meet(Tls::new(&key(1)).unwrap(), Tls::new(&key(2)).unwrap()).await;
        assert_eq!(met, (Ok(key(2).account()), Ok(key(1).account())));
    }

    #[tokio::test]
    async fn whoever_shows_a_key_without_holding_it_gets_no_channel() {
        let impostor = || Tls::showing(key(3).account(), &key(2), vec![ALPN.to_vec()]).unwrap();
        let (at_server, _) = meet(Tls::new(&key(1)).unwrap(), impostor()).await;
        assert!(matches!(at_server, Err(Reason::Channel(_))), "as a client: {at_server:?}");
        let (_, at_client) = meet(impostor(), Tls::new(&key(1)).unwrap()).await;
        assert!(matches!(at_client, Err(Reason::Channel(_))), "as a server: {at_client:?}");
    }

    #[tokio::test]
    async fn another_application_protocol_is_refused() {
        for protocols in [vec![], vec![b"bezant/2".to_vec()], vec![b"h2".to_vec()]] {
            let other = || Tls::showing(key(2).account(), &key(2), protocols.clone()).unwrap();
            assert!(meet(Tls::new(&key(1)).unwrap(), other()).await.0.is_err(), "{protocols:?} as a client");
            assert!(meet(other(), Tls::new(&key(1)).unwrap()).await.1.is_err(), "{protocols:?} as a server");
        }
    }

    #[test]
    fn the_tls_library_derives_the_same_public_key_from_a_seed() {
        for seed in 0..32 {
            let key = key(seed);
            let identity = certified(key.account(), &key, &provider()).unwrap();
            assert_eq!(identity.key.public_key().unwrap().as_ref(), spki_of(key.account()));
            assert_eq!(account_of(&identity.cert[0]), Some(key.account()));
        }
    }

    #[test]
    fn only_the_one_encoding_of_an_ed25519_key_is_a_key() {
        let good = spki_of(AccountId::new([7; 32]));
        assert!(account_of(&good).is_some());
        assert_eq!(account_of(&good[..43]), None);
        assert_eq!(account_of(&[good.clone(), vec![0]].concat()), None);
        let mut x25519 = good;
        x25519[8] = 0x6e;
        assert_eq!(account_of(&x25519), None);
    }
}
