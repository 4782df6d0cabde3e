//! Who is let in, and as which gateway.

use percent_encoding::percent_decode_str;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::config::{Token, WebhookConfig};

/// The tokens that are valid.
#[derive(Debug)]
pub struct Access {
    tokens: Vec<Token>,
    query_token: bool,
}

impl Access {
    /// Returns what a configuration says.
    #[must_use]
    pub fn of(config: &WebhookConfig) -> Self {
        Self { tokens: config.tokens.clone(), query_token: config.query_token }
    }

    /// Returns the token that a request shows, in its header or, if that is allowed, in its query.
    pub fn admit(&self, authorization: Option<&[u8]>, query: Option<&str>) -> Option<&Token> {
        let bearer = authorization.and_then(|value| {
            let (scheme, token) = value.split_at_checked("bearer ".len())?;
            scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
        });
        match bearer {
            Some(token) => self.find(token),
            None if self.query_token => {
                let value = query?.split('&').find_map(|pair| pair.strip_prefix("token="))?;
                self.find(&percent_decode_str(value).collect::<Vec<u8>>())
            }
            None => None,
        }
    }

    /// Looks at every token whole, so that the time tells neither which nor how much of one is right, but only its length.
    fn find(&self, shown: &[u8]) -> Option<&Token> {
        let (mut found, mut index) = (Choice::from(0), 0_u32);
        for (token, at) in self.tokens.iter().zip(0_u32..) {
            let equal = token.secret.as_bytes().ct_eq(shown);
            index.conditional_assign(&at, equal);
            found |= equal;
        }
        bool::from(found).then(|| self.tokens.get(index as usize)).flatten()
    }
}
