//! Decoding JSON within bounds: two bytes of text can become a hundred of memory, and a few kilobytes of a sealed chunk
//! become gigabytes of text.

use std::{borrow::Cow, cell::Cell, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

/// So many values may stand within free facts, such as the refs of a repository.
const VALUES: usize = 1_000_000;
/// So many streams may stand in a body. The shortest record of one that was read from a file fills a body with fewer.
const STREAMS: usize = 500_000;
/// A list of so many is likely to be a very long one.
const MANY: usize = 16_384;
/// So many warnings are kept, and so many bytes of them.
const WARNINGS: usize = 1000;
const WARNED: usize = 256 << 10;
/// The most snapshots that one hold names.
pub const SNAPSHOTS: usize = 8192;
/// No store's names of versions are longer, in bytes: AWS says that they may be of 1024, and gives ones of 32.
const VERSION: usize = 128;
/// So many features may be named.
const FEATURES: usize = 64;

/// Free facts, as far as they stay within bounds.
pub(super) fn value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    let left = Cell::new(VALUES);
    Free(&left).deserialize(deserializer)
}

/// Documents within a document, such as fingerprints, as far as they stay within the bounds of free facts.
pub(super) fn facts<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<T, D::Error> {
    serde_json::from_value(value(deserializer)?).map_err(D::Error::custom)
}

/// Streams, no more than a body can hold of any that were read.
pub(super) fn streams<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_seq(Few { most: STREAMS, what: PhantomData })
}

/// The store's name of a version, where it is no longer than stores make them. It is a hint, and nothing is lost without it.
pub(super) fn version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = Option::<Cow<'_, str>>::deserialize(deserializer)?;
    Ok(text.filter(|text| text.len() <= VERSION).map(Cow::into_owned))
}

/// Features. More than a few are none that any build knows.
pub(super) fn features<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    deserializer.deserialize_seq(Few { most: FEATURES, what: PhantomData })
}

/// The snapshots of a hold.
pub(super) fn held<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_seq(Few { most: SNAPSHOTS, what: PhantomData })
}

/// What of a short list is understood; what a later build may say besides is passed over.
pub(super) fn flags<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let Value::Array(all) = value(deserializer)? else { return Ok(Vec::new()) };
    Ok(all.into_iter().take(FEATURES).filter_map(|one| serde_json::from_value(one).ok()).collect())
}

/// Warnings: the first ones, and how many more there are.
pub(super) fn warnings<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    deserializer.deserialize_seq(Warnings)
}

struct Few<T> {
    most: usize,
    what: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Few<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {}", self.most)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = seq.next_element()? {
            if all.len() == self.most {
                return Err(A::Error::custom(format!("a list has more than {} entries", self.most)));
            }
            if all.len() == MANY {
                // Room that is not used costs no memory, and a long list that moves needs the room of both.
                all.reserve_exact(self.most.saturating_sub(MANY));
            }
            all.push(one);
        }
        Ok(all)
    }
}

struct Warnings;

impl<'de> Visitor<'de> for Warnings {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of warnings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<String>, A::Error> {
        let (mut kept, mut room, mut more) = (Vec::new(), WARNED, 0_u64);
        while let Some(one) = seq.next_element::<String>()? {
            match room.checked_sub(one.len()) {
                Some(left) if kept.len() < WARNINGS => {
                    room = left;
                    kept.push(one);
                }
                _ => more += 1,
            }
        }
        if more > 0 {
            kept.push(format!("and {more} more warnings"));
        }
        Ok(kept)
    }
}

/// Counts every value that it makes.
#[derive(Clone, Copy)]
struct Free<'a>(&'a Cell<usize>);

impl Free<'_> {
    fn take<E: Error>(self) -> Result<(), E> {
        let left =
            self.0.get().checked_sub(1).ok_or_else(|| {
                E::custom(format!("its facts hold more than {VALUES} values, which no source writes"))
            })?;
        self.0.set(left);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Free<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Free<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any facts")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.take()?;
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.take()?;
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.take()?;
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        self.take()?;
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.take()?;
        Ok(value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.take()?;
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        self.take()?;
        let mut all = Vec::new();
        while let Some(one) = seq.next_element_seed(self)? {
            all.push(one);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        self.take()?;
        let mut all = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            all.insert(key, map.next_value_seed(self)?);
        }
        Ok(Value::Object(all))
    }
}
