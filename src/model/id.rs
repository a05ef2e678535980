//! 32-byte identifiers. Written as 64 lower-case hex digits wherever people or JSON meet them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A text that is not 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id of 64 lower-case hex digits")]
pub struct IdError;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The id made of these bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The bytes of the id.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The first 12 hex digits, for people.
            #[must_use]
            pub fn short(&self) -> String {
                let mut text = self.to_string();
                text.truncate(12);
                text
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut buffer = [0_u8; 64];
                hex::encode_to_slice(self.0, &mut buffer).map_err(|_| fmt::Error)?;
                f.write_str(std::str::from_utf8(&buffer).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                if text.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Err(IdError);
                }
                let mut bytes = [0_u8; 32];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| IdError)?;
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    };
}

id! {
    /// A BLAKE3 hash of bytes as they are stored or streamed.
    Hash
}
id! {
    /// Names a vault: BLAKE3(root public key ‖ nonce), so that it certifies its own root key.
    VaultId
}
id! {
    /// Names a snapshot: BLAKE3 of the bytes of its header object.
    SnapshotId
}
id! {
    /// Names a pack: BLAKE3 of its sealed bytes.
    PackId
}
id! {
    /// Names a chunk: BLAKE3 of its plaintext, keyed with the writer's chunk-id key.
    ChunkId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_lower_case_hex_and_nothing_else() {
        let id = ChunkId::from_bytes([0xab; 32]);
        let text = id.to_string();
        assert_eq!(text, "ab".repeat(32));
        assert_eq!(text.parse::<ChunkId>().unwrap(), id);
        assert!(text.to_uppercase().parse::<ChunkId>().is_err());
        assert!("ab".parse::<ChunkId>().is_err());
        assert_eq!(serde_json::from_str::<ChunkId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
    }

    #[test]
    fn an_id_is_shown_in_short_and_for_debugging() {
        let id = SnapshotId::from_bytes([0xab; 32]);
        assert_eq!((id.short(), id.as_bytes()), ("abababababab".to_owned(), &[0xab; 32]));
        assert_eq!(format!("{id:?}"), format!("SnapshotId({})", "ab".repeat(32)));
    }
}
