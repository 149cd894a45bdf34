//! Enums that may get values with a new version of furt: what this version does not know is kept as its text.

use schemars::{Schema, json_schema};

/// Declares such an enum by the texts of its values.
macro_rules! open_enum {
    ($(#[doc = $about:literal])* $name:ident { $($(#[doc = $doc:literal])* $variant:ident = $text:literal,)+ }) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[doc = $doc])* #[doc = concat!("\n\n`", $text, "` in JSON.")] $variant,)+
            /// A value of a newer furt, as it was sent.
            Other(String),
        }

        impl $name {
            /// The text that stands in JSON.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other(text) => text,
                }
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                match text {
                    $($text => Self::$variant,)+
                    other => Self::Other(other.to_owned()),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                Ok(Self::from(&*text))
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $crate::open_enum::schema(concat!($($about),*), &[$(($text, concat!($($doc),*))),+])
            }
        }
    };
}

pub(crate) use open_enum;

/// Of an enum of these values, each with what is said of it: readers must take others as well.
pub(crate) fn schema(about: &str, values: &[(&str, &str)]) -> Schema {
    let known = values.iter().map(|(text, about)| json_schema!({ "const": text, "description": about.trim() }));
    let unknown = json_schema!({ "type": "string", "description": "A value of a newer furt." });
    let all: Vec<Schema> = known.chain([unknown]).collect();
    json_schema!({ "description": about.trim(), "anyOf": all })
}
