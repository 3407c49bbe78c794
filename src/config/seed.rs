//! A seed as TOML: a whole number, or the digits of one above the largest that TOML has.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

pub fn serialize<S: Serializer>(seed: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    match i64::try_from(*seed) {
        Ok(number) => serializer.serialize_i64(number),
        Err(_) => serializer.serialize_str(&seed.to_string()),
    }
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = toml::Value::deserialize(deserializer)?;
    let seed = match &value {
        toml::Value::Integer(number) => u64::try_from(*number).ok(),
        toml::Value::String(digits) => digits.parse().ok(),
        _ => None,
    };
    seed.ok_or_else(|| D::Error::custom(format!("{value}, expected a whole number of at most 64 bits")))
}
