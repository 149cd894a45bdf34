//! How bodies are written: JSON with lex-node's fields in lex-node's order where it has the message, and furt's own in one field
//! `furt`. Unknown, doubled and missing fields are errors, also those that may be null.

use furt_cluster::model::{
    Boot, ClusterId, Fingerprint, Nonce, Program, Record, RequestId, Restart, Scope, SecretId, SettingsId, TokenId,
};
use furt_cluster::{CheckFailure, Transcript};
use serde::{Deserialize, Deserializer, Serialize};

/// lex-node's class that takes a secret and gives one.
pub(crate) const CRYPT: &str = "Legion::Extensions::Node::Runners::Crypt";

/// A body with a function.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "function", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Wire {
    /// lex-node's `RequestPublicKeys`.
    PushPublicKey {},
    JoinAsked {
        token: TokenId,
        nonce: Nonce,
    },
    JoinChallenge {
        transcript: TranscriptForm,
        proof: String,
    },
    JoinProof {
        transcript: TranscriptForm,
        proof: String,
    },
    Welcome {
        #[serde(deserialize_with = "present")]
        transcript: Option<TranscriptForm>,
        founder: Fingerprint,
        records: Vec<Record>,
    },
    RecordsAsked {},
    RecordsGiven {
        records: Vec<Record>,
    },
    /// legion-transport's `RequestClusterSecret`.
    PushClusterSecret {
        queue_name: String,
        runner_class: String,
        public_key: String,
        furt: Named,
    },
    /// `PushClusterSecret`.
    ReceiveClusterSecret {
        runner_class: String,
        message: String,
        validation_string: String,
        encrypted_string: EncipheredForm,
        public_key: String,
        furt: Named,
    },
    /// `RequestVaultToken`.
    PushVaultToken {
        node_name: String,
        runner_class: String,
        public_key: String,
        furt: TokenForm,
    },
    /// `PushVaultToken`.
    ReceiveVaultToken {
        runner_class: String,
        message: String,
        public_key: String,
        furt: TokenForm,
    },
    SettingsCheck {
        request: RequestId,
        scope: Scope,
        id: SettingsId,
        restart: Restart,
        document: String,
    },
    SettingsChecked {
        request: RequestId,
        scope: Scope,
        outcome: OutcomeForm,
    },
    DocumentAsked {
        scope: Scope,
        id: SettingsId,
        secret: SecretId,
    },
    DocumentGiven {
        record: Box<Record>,
        document: String,
        #[serde(deserialize_with = "present")]
        request: Option<RequestId>,
    },
    ProgramAsked {
        request: RequestId,
        program: Program,
    },
}

/// furt's part of a message about a secret.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Named {
    pub(crate) secret: SecretId,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EncipheredForm {
    pub(crate) enciphered_message: String,
    pub(crate) iv: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum OutcomeForm {
    Taken,
    Wrong(Vec<String>),
    Outdated(u64),
    Busy,
}

impl OutcomeForm {
    pub(crate) fn of(outcome: &Result<(), CheckFailure>) -> Self {
        match outcome {
            Ok(()) => Self::Taken,
            Err(CheckFailure::Wrong(errors)) => Self::Wrong(errors.iter().map(|error| (**error).to_owned()).collect()),
            Err(CheckFailure::Outdated(generation)) => Self::Outdated(*generation),
            Err(CheckFailure::Busy) => Self::Busy,
        }
    }

    pub(crate) fn outcome(self) -> Result<(), CheckFailure> {
        match self {
            Self::Taken => Ok(()),
            Self::Wrong(errors) => Err(CheckFailure::Wrong(errors.into_iter().map(Into::into).collect())),
            Self::Outdated(generation) => Err(CheckFailure::Outdated(generation)),
            Self::Busy => Err(CheckFailure::Busy),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TranscriptForm {
    cluster: ClusterId,
    token: TokenId,
    joiner: Fingerprint,
    joiner_boot: Boot,
    joiner_nonce: Nonce,
    maker: Fingerprint,
    maker_boot: Boot,
    maker_nonce: Nonce,
}

impl From<&Transcript> for TranscriptForm {
    fn from(it: &Transcript) -> Self {
        let Transcript { cluster, token, joiner, joiner_boot, joiner_nonce, maker, maker_boot, maker_nonce } = *it;
        Self { cluster, token, joiner, joiner_boot, joiner_nonce, maker, maker_boot, maker_nonce }
    }
}

impl From<TranscriptForm> for Transcript {
    fn from(it: TranscriptForm) -> Self {
        let TranscriptForm { cluster, token, joiner, joiner_boot, joiner_nonce, maker, maker_boot, maker_nonce } = it;
        Self { cluster, token, joiner, joiner_boot, joiner_nonce, maker, maker_boot, maker_nonce }
    }
}

/// The longest word that is taken, in bytes.
const LONGEST_WORD: usize = 64;

/// Whether a text is a word that is shown and logged as it is: letters, digits and signs of ASCII alone.
pub(super) fn is_word(text: &str) -> bool {
    (1..=LONGEST_WORD).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A field that may be null and not missing.
pub(super) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

/// furt's part of what is said about tokens of a Vault.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenForm {
    /// Always so: no node hands out its own.
    pub(super) wrapped: bool,
}
