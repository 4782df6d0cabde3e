//! What a server answers to an instant query: samples, or why not.
//!
//! Source: Prometheus's HTTP API, which Mimir, Thanos and VictoriaMetrics share. Values are decimals in strings; counts
//! up to 2^53 are exact in them. Invariant: texts of the server become one bounded line.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::page::{cut, printable};

/// Columns of a server's own words that are shown.
const WORDS: usize = 200;

/// One series at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

impl Sample {
    /// Returns a label's value; `None` if there is none.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// Samples, and what the server wants known about them, such as that a part of it did not answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The samples.
    pub samples: Vec<Sample>,
    /// Warnings.
    pub warnings: Vec<String>,
}

/// Why there are no samples, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 401 and 403.
    #[error(
        "it refuses us (HTTP {0}); put its credentials into a file as a line such as `Authorization: Bearer …` and \
         name it with --header-file, or give --client-cert-file and --client-key-file"
    )]
    Unauthorized(u16),
    /// 404 and 405.
    #[error(
        "there is no query API at that path (HTTP {0}); give --prometheus the URL that /api/v1/query follows, such as \
         http://HOST:9090, or https://HOST/prometheus for Mimir"
    )]
    NotFound(u16),
    /// 400 of a server that was spoken to in plain text.
    #[error("it speaks TLS there; use https:// in --prometheus")]
    Tls,
    /// 3xx.
    #[error("it sends us elsewhere (HTTP {0}), which is not followed; give --prometheus the final URL")]
    Elsewhere(u16),
    /// The server cannot make sense of the question, or will not answer it.
    #[error(
        "it refuses the query (HTTP {status}, {kind}: {words}); ask for a shorter window or fewer jobs, or raise the server's limits"
    )]
    Query {
        /// HTTP status.
        status: u16,
        /// The API's kind of error.
        kind: String,
        /// The server's words.
        words: String,
    },
    /// It takes too long there.
    #[error("it took too long there (HTTP {0}); ask for a shorter window, or raise its query timeout")]
    Slow(u16),
    /// Another status.
    #[error("it answers HTTP {status}: {words}; look at the server's own log")]
    Status {
        /// HTTP status.
        status: u16,
        /// The server's words.
        words: String,
    },
    /// 200 and no answer of the API.
    #[error(
        "its answer is none of Prometheus's API ({0}); is there a login page in front? Give --prometheus the URL that \
         /api/v1/query follows"
    )]
    NotAnAnswer(String),
    /// More than is held.
    #[error("its answer is longer than {0} MiB; ask with --by and filters that give fewer rows")]
    TooLong(usize),
}

#[derive(Deserialize)]
struct Document {
    status: String,
    #[serde(rename = "errorType", default)]
    error_type: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Vec<String>,
    /// A cluster of VictoriaMetrics says so here, and not by a warning.
    #[serde(rename = "isPartial", default)]
    is_partial: bool,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    result_type: String,
    result: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    metric: BTreeMap<String, String>,
    value: (f64, String),
}

/// Returns what an answer holds.
///
/// # Errors
/// See [`Refusal`].
pub fn read(status: u16, body: &[u8], most: usize) -> Result<Answer, Refusal> {
    if body.len() > most {
        return Err(Refusal::TooLong(most >> 20));
    }
    let document = serde_json::from_slice::<Document>(body);
    if status != 200 {
        return Err(refusal(status, body, document.ok()));
    }
    let document = document.map_err(|error| Refusal::NotAnAnswer(words(&error.to_string())))?;
    let data = document.data.filter(|_| document.status == "success");
    let data = data.ok_or_else(|| Refusal::NotAnAnswer(words(&document.error)))?;
    if data.result_type != "vector" {
        return Err(Refusal::NotAnAnswer(format!("a {}", words(&data.result_type))));
    }
    let samples = data.result.into_iter().map(|item| {
        let value = item.value.1.parse().map_err(|_| Refusal::NotAnAnswer(words(&item.value.1)))?;
        Ok(Sample { labels: item.metric, value })
    });
    let mut warnings: Vec<String> = document.warnings.iter().map(|text| words(text)).collect();
    if document.is_partial {
        warnings.push("a part of its storage did not answer".to_owned());
    }
    Ok(Answer { samples: samples.collect::<Result<_, Refusal>>()?, warnings })
}

fn refusal(status: u16, body: &[u8], document: Option<Document>) -> Refusal {
    let said = document.filter(|document| document.status == "error");
    match (status, said) {
        (401 | 403, _) => Refusal::Unauthorized(status),
        (300..400, _) => Refusal::Elsewhere(status),
        (503 | 504, Some(said)) if said.error_type == "timeout" => Refusal::Slow(status),
        (504, _) => Refusal::Slow(status),
        (400 | 413 | 422 | 429, Some(said)) => {
            Refusal::Query { status, kind: words(&said.error_type), words: words(&said.error) }
        }
        (404 | 405, _) => Refusal::NotFound(status),
        // What VictoriaMetrics says where others say 404.
        (400, None) if says(body, "unsupported path requested") => Refusal::NotFound(status),
        // What every server written in Go says.
        (400, None) if says(body, "HTTP request to an HTTPS server") => Refusal::Tls,
        (_, Some(said)) => Refusal::Status { status, words: words(&said.error) },
        (_, None) => Refusal::Status { status, words: words(&String::from_utf8_lossy(body)) },
    }
}

fn says(body: &[u8], what: &str) -> bool {
    String::from_utf8_lossy(body).contains(what)
}

/// Returns foreign text as one short line.
fn words(text: &str) -> String {
    let joined: Vec<&str> = text.split_whitespace().take(WORDS).collect();
    match cut(&printable(&joined.join(" ")), WORDS) {
        empty if empty.is_empty() => "no word".to_owned(),
        line => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 1 << 20;

    fn vector(value: &str) -> String {
        format!(
            r#"{{"status":"success","data":{{"resultType":"vector","result":[{{"metric":{{"job":"j","e":""}},"value":[1800000000.123,"{value}"]}}]}}}}"#
        )
    }

    #[test]
    fn values_are_read_to_the_last_token() {
        for (text, expected) in [
            ("0", 0.0),
            ("9007199254740991", 9_007_199_254_740_991.0),
            ("9.007199254740991e+15", 9_007_199_254_740_991.0),
            ("1.234567891", 1.234_567_891),
            ("-3", -3.0),
            ("+Inf", f64::INFINITY),
        ] {
            let answer = read(200, vector(text).as_bytes(), MOST).unwrap();
            assert_eq!(answer.samples[0].value.to_bits(), f64::to_bits(expected), "{text}");
            assert_eq!((answer.samples[0].label("job"), answer.samples[0].label("e")), (Some("j"), None));
        }
        assert!(read(200, vector("NaN").as_bytes(), MOST).unwrap().samples[0].value.is_nan());
    }

    #[test]
    fn an_empty_answer_and_warnings_are_taken() {
        let body = br#"{"status":"success","warnings":["store\ngone"],"infos":["x"],"data":{"resultType":"vector","result":[]}}"#;
        let expected = Answer { samples: Vec::new(), warnings: vec!["store gone".to_owned()] };
        assert_eq!(read(200, body, MOST), Ok(expected));
        for (said, warnings) in [("false", &[][..]), ("true", &["a part of its storage did not answer"])] {
            let body = format!(
                r#"{{"status":"success","isPartial":{said},"data":{{"resultType":"vector","result":[]}}}}"#
            );
            assert_eq!(read(200, body.as_bytes(), MOST).unwrap().warnings, warnings);
        }
    }

    #[test]
    fn what_is_no_answer_says_what_to_do() {
        let error = |kind: &str| format!(r#"{{"status":"error","errorType":"{kind}","error":"too\nmany"}}"#);
        let matrix = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
        for (status, body, said) in [
            (401, "no".to_owned(), "(HTTP 401); put its credentials into a file"),
            (403, error("x"), "--header-file"),
            (
                404,
                "404 page not found".to_owned(),
                "no query API at that path (HTTP 404); give --prometheus the URL",
            ),
            (405, String::new(), "no query API"),
            (
                400,
                "requestURI: /x; unsupported path requested: \"/x\"".to_owned(),
                "no query API at that path (HTTP 400)",
            ),
            (400, "<h1>bad request</h1>".to_owned(), "answers HTTP 400: <h1>bad"),
            (
                400,
                "Client sent an HTTP request to an HTTPS server.\n".to_owned(),
                "use https:// in --prometheus",
            ),
            (302, String::new(), "sends us elsewhere (HTTP 302), which is not followed"),
            (
                422,
                error("execution"),
                "refuses the query (HTTP 422, execution: too many); ask for a shorter window",
            ),
            (400, error("bad_data"), "(HTTP 400, bad_data: too many)"),
            (503, error("timeout"), "took too long there (HTTP 503); ask for a shorter window"),
            (504, String::new(), "took too long there"),
            (503, "<h1>down</h1>".to_owned(), "answers HTTP 503: <h1>down</h1>; look at"),
            (500, String::new(), "answers HTTP 500: no word"),
            (200, "<html>log in</html>".to_owned(), "none of Prometheus's API ("),
            (200, error("x"), "none of Prometheus's API (too many)"),
            (200, matrix.to_owned(), "(a matrix)"),
            (200, vector("many"), "(many)"),
            (200, " ".repeat(MOST + 1), "longer than 1 MiB"),
        ] {
            let refusal = read(status, body.as_bytes(), MOST).unwrap_err().to_string();
            assert!(refusal.contains(said), "{status}: {refusal}");
            assert!(!refusal.contains('\n') && refusal.len() < 500, "{refusal}");
        }
    }
}
