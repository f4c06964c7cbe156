//! Keystores: one secret under a password, in web3 secret storage version 3, the format of geth, cast and wallets.
//!
//! In addition to the standard fields, ours contain the key's role and public part, so that a key in the wrong role is
//! refused and `keys show` needs no password. Other tools ignore these fields. The fields are not authenticated: they protect
//! against mistakes, not against an attacker who can write the file.

use std::{fmt, path::Path};

use aes::Aes128;
use alloy_primitives::{Keccak256, hex};
use ctr::{
    Ctr128BE,
    cipher::{KeyIvInit, StreamCipher},
};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{KeyError, KeyRole, KeystoreFault, Password, PublicPart, SecretKey};

/// The version written and read.
const VERSION: u64 = 3;
/// The cipher written and read.
const CIPHER: &str = "aes-128-ctr";
/// Length of the derived key: half of it encrypts, half of it authenticates.
const DERIVED_BYTES: u32 = 32;
/// Longest salt that is read, in bytes.
const MAX_SALT_BYTES: usize = 64;
/// Most memory that opening a keystore may take: 512 MiB. geth's own take 256 MiB.
const MAX_SCRYPT_BYTES: u64 = 512 << 20;
/// Most work, as `n * r * p`: eight times that of geth's own.
const MAX_SCRYPT_WORK: u64 = 1 << 24;
/// Most rounds of PBKDF2.
const MAX_PBKDF2_ROUNDS: u32 = 10_000_000;

/// The cost of trying a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strength {
    /// scrypt with n = 2^18, r = 8, p = 1, as geth: about a second and 256 MiB.
    Standard,
    /// scrypt with n = 2^12, r = 8, p = 6, as `geth --lightkdf`: for tests, and for passwords that cannot be guessed.
    Light,
}

impl Strength {
    /// `log2(n)`, `r` and `p`.
    const fn scrypt(self) -> (u8, u32, u32) {
        match self {
            Self::Standard => (18, 8, 1),
            Self::Light => (12, 8, 6),
        }
    }
}

/// A locked keystore.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Keystore {
    /// For other tools: the account's address without `0x`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(alias = "Crypto")]
    crypto: Crypto,
    #[serde(default)]
    id: String,
    version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    causeway: Option<Recorded>,
}

/// Our additional fields.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recorded {
    role: KeyRole,
    public_key: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Crypto {
    cipher: String,
    cipherparams: CipherParams,
    #[serde(with = "plain_hex")]
    ciphertext: Vec<u8>,
    #[serde(flatten)]
    kdf: Kdf,
    #[serde(with = "plain_hex")]
    mac: Vec<u8>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct CipherParams {
    #[serde(with = "plain_hex")]
    iv: Vec<u8>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kdf", content = "kdfparams", rename_all = "lowercase")]
enum Kdf {
    Scrypt {
        dklen: u32,
        n: u64,
        p: u32,
        r: u32,
        #[serde(with = "plain_hex")]
        salt: Vec<u8>,
    },
    Pbkdf2 {
        c: u32,
        dklen: u32,
        prf: String,
        #[serde(with = "plain_hex")]
        salt: Vec<u8>,
    },
}

impl fmt::Display for Keystore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        serde_json::to_string_pretty(self).map_err(|_| fmt::Error).and_then(|text| writeln!(formatter, "{text}"))
    }
}

impl Keystore {
    /// Whether a file's content is meant as a keystore and not as plain digits.
    pub(super) fn looks_like(content: &[u8]) -> bool {
        content.trim_ascii_start().first() == Some(&b'{')
    }

    /// Parses a keystore. Decrypts nothing; checks every setting against its bounds.
    ///
    /// # Errors
    /// A [`KeystoreFault`] that does not concern passwords or roles.
    pub fn parse(content: &[u8]) -> Result<Self, KeystoreFault> {
        let keystore: Self = serde_json::from_slice(content)?;
        keystore.check()?;
        Ok(keystore)
    }

    /// Locks `key` under a password.
    ///
    /// # Errors
    /// [`KeyError::PlainOnly`], [`KeyError::EmptyPassword`] or [`KeyError::Randomness`].
    pub fn seal(role: KeyRole, key: &SecretKey, password: &Password, strength: Strength) -> Result<Self, KeyError> {
        if password.expose().is_empty() {
            return Err(KeyError::EmptyPassword);
        }
        let public = PublicPart::of(role, key).ok_or(KeyError::PlainOnly { role })?;
        let salt = random::<32>()?.to_vec();
        let iv = random::<16>()?;
        let (log_n, r, p) = strength.scrypt();
        let kdf = Kdf::Scrypt { dklen: DERIVED_BYTES, n: 1 << log_n, p, r, salt };
        let derived =
            kdf.derive(password).map_err(|fault| KeyError::Keystore { path: role.file_name().into(), fault })?;
        let ciphertext = apply_cipher(&derived, &iv, key.expose()).to_vec();
        let mac = mac(&derived, &ciphertext).to_vec();
        Ok(Self {
            address: match public {
                PublicPart::Account(address) => Some(hex::encode(address)),
                PublicPart::Consensus(_) => None,
            },
            crypto: Crypto {
                cipher: CIPHER.into(),
                cipherparams: CipherParams { iv: iv.to_vec() },
                ciphertext,
                kdf,
                mac,
            },
            id: uuid(random::<16>()?),
            version: VERSION,
            causeway: Some(Recorded { role, public_key: public.to_string() }),
        })
    }

    /// The role in the file; `None` for a keystore of another tool.
    pub fn role(&self) -> Option<KeyRole> {
        self.causeway.as_ref().map(|recorded| recorded.role)
    }

    /// The public part in the file, which is checked only on opening; `None` for another tool's keystore without an address.
    pub fn public_part(&self) -> Option<String> {
        let recorded = self.causeway.as_ref().map(|recorded| recorded.public_key.clone());
        recorded.or_else(|| self.address.as_ref().map(|address| format!("0x{}", address.trim_start_matches("0x"))))
    }

    /// Whether it may be used as a key of `role`. Keystores of other tools are accounts, and may only be used as operator keys.
    ///
    /// # Errors
    /// [`KeystoreFault::WrongRole`] or [`KeystoreFault::NoRole`].
    pub fn check_role(&self, wanted: KeyRole) -> Result<(), KeystoreFault> {
        match self.role() {
            Some(found) if found == wanted => Ok(()),
            Some(found) => Err(KeystoreFault::WrongRole { found, wanted }),
            None if wanted == KeyRole::Operator => Ok(()),
            None => Err(KeystoreFault::NoRole { wanted }),
        }
    }

    /// Opens it for `role`. Does not check the role ([`Keystore::check_role`]), so that an import can assign one.
    ///
    /// # Errors
    /// [`KeystoreFault::WrongPassword`], [`KeystoreFault::PublicPart`] or [`KeystoreFault::OutOfRange`].
    pub fn open(&self, role: KeyRole, password: &Password) -> Result<SecretKey, KeystoreFault> {
        self.check()?;
        let derived = self.crypto.kdf.derive(password)?;
        if mac(&derived, &self.crypto.ciphertext).as_slice() != self.crypto.mac {
            return Err(KeystoreFault::WrongPassword);
        }
        let (Ok(iv), Ok(ciphertext)) =
            (self.crypto.cipherparams.iv.as_slice().try_into(), self.crypto.ciphertext.as_slice().try_into())
        else {
            return Err(KeystoreFault::WrongPassword); // impossible: `check` has checked both lengths
        };
        let key = SecretKey::from_bytes(*apply_cipher(&derived, iv, ciphertext));
        let found = PublicPart::of(role, &key).ok_or(KeystoreFault::OutOfRange)?;
        match self.public_part() {
            Some(recorded) if !recorded.eq_ignore_ascii_case(&found.to_string()) => {
                Err(KeystoreFault::PublicPart { recorded, found })
            }
            _ => Ok(key),
        }
    }

    fn check(&self) -> Result<(), KeystoreFault> {
        let bound = |ok: bool, field, allowed| if ok { Ok(()) } else { Err(KeystoreFault::Setting { field, allowed }) };
        if self.version != VERSION {
            return Err(KeystoreFault::Version(self.version));
        }
        if self.crypto.cipher != CIPHER {
            return Err(KeystoreFault::Cipher(self.crypto.cipher.clone()));
        }
        bound(self.crypto.cipherparams.iv.len() == 16, "iv", "16 bytes")?;
        bound(self.crypto.ciphertext.len() == 32, "ciphertext", "32 bytes")?;
        match &self.crypto.kdf {
            Kdf::Scrypt { dklen, n, p, r, salt } => {
                let bytes = n.checked_mul(u64::from(*r)).and_then(|blocks| blocks.checked_mul(128));
                let work = n.checked_mul(u64::from(*r)).and_then(|blocks| blocks.checked_mul(u64::from(*p)));
                bound(*dklen == DERIVED_BYTES, "dklen", "32")?;
                bound(
                    n.is_power_of_two() && *n > 1 && *r > 0 && *p > 0,
                    "scrypt setting",
                    "n a power of two, r and p not 0",
                )?;
                bound(bytes.is_some_and(|bytes| bytes <= MAX_SCRYPT_BYTES), "scrypt memory", "512 MiB")?;
                bound(work.is_some_and(|work| work <= MAX_SCRYPT_WORK), "scrypt work", "n * r * p at most 2^24")?;
                bound(salt.len() <= MAX_SALT_BYTES, "salt", "64 bytes at most")
            }
            Kdf::Pbkdf2 { c, dklen, prf, salt } => {
                bound(*dklen == DERIVED_BYTES, "dklen", "32")?;
                bound(prf == "hmac-sha256", "prf", "hmac-sha256")?;
                bound((1..=MAX_PBKDF2_ROUNDS).contains(c), "c", "1 to 10,000,000")?;
                bound(salt.len() <= MAX_SALT_BYTES, "salt", "64 bytes at most")
            }
        }
    }
}

impl Kdf {
    fn derive(&self, password: &Password) -> Result<Zeroizing<[u8; 32]>, KeystoreFault> {
        let mut derived = Zeroizing::new([0u8; 32]);
        match self {
            Self::Scrypt { n, p, r, salt, .. } => {
                let setting =
                    KeystoreFault::Setting { field: "scrypt setting", allowed: "values that RFC 7914 allows" };
                let log_n = u8::try_from(n.ilog2()).ok();
                let params = log_n.and_then(|log_n| scrypt::Params::new(log_n, *r, *p, 32).ok());
                let done =
                    params.and_then(|params| scrypt::scrypt(password.expose(), salt, &params, &mut *derived).ok());
                done.ok_or(setting)?;
            }
            Self::Pbkdf2 { c, salt, .. } => {
                pbkdf2::pbkdf2_hmac::<Sha256>(password.expose(), salt, *c, &mut *derived);
            }
        }
        Ok(derived)
    }
}

/// keccak256 of the second half of the derived key and the ciphertext.
fn mac(derived: &[u8; 32], ciphertext: &[u8]) -> alloy_primitives::B256 {
    let mut hasher = Keccak256::new();
    hasher.update(&derived[16..]);
    hasher.update(ciphertext);
    hasher.finalize()
}

/// AES-128 in counter mode under the first half of the derived key: encrypts and decrypts.
fn apply_cipher(derived: &[u8; 32], iv: &[u8; 16], text: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0u8; 16]);
    key.copy_from_slice(&derived[..16]);
    let mut text = Zeroizing::new(*text);
    Ctr128BE::<Aes128>::new((&*key).into(), iv.into()).apply_keystream(&mut *text);
    text
}

fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0u8; N];
    getrandom::fill(&mut bytes).map_err(|error| KeyError::Randomness(error.to_string()))?;
    Ok(bytes)
}

/// A random (version 4) UUID from 16 random bytes, in the format of RFC 9562.
fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let digits = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..])
}

/// Parses the content of a keystore file.
pub(super) fn parse_file(path: &Path, content: &[u8]) -> Result<Keystore, KeyError> {
    Keystore::parse(content).map_err(|fault| KeyError::Keystore { path: path.into(), fault })
}

/// Hexadecimal digits without `0x`, as in the format; a `0x` is accepted too.
mod plain_hex {
    use alloy_primitives::hex;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        hex::decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
