//! Whether the keys of JSON objects differ: readers take the one or the other of two that are the same.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// JSON in which no object has a key twice; deserialising anything else is an error that names the key.
pub struct DistinctKeys;

impl<'de> Deserialize<'de> for DistinctKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for DistinctKeys {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            let Self = map.next_value()?;
            if let Some(twice) = keys.replace(key) {
                return Err(A::Error::custom(format!("{twice:?} twice")));
            }
        }
        Ok(Self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self, A::Error> {
        while let Some(Self) = sequence.next_element()? {}
        Ok(Self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::DistinctKeys;

    #[test]
    fn a_key_that_stands_twice_in_one_object_is_named() {
        let check = |json: &str| serde_json::from_str::<DistinctKeys>(json).map_err(|error| error.to_string());
        assert!(check(r#"{"a": [1, -2, 0.5, null, true, {"b": "c"}], "b": {"a": 1}}"#).is_ok());
        for json in [r#"{"a": 1, "b": 2, "a": 1}"#, r#"{"c": {"a": 1, "a": 2}}"#, r#"[{"a": 1, "\u0061": 2}]"#] {
            assert!(check(json).is_err_and(|message| message.contains("\"a\" twice")), "{json}");
        }
    }
}
