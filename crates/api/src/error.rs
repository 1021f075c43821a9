//! What goes wrong in requests: one catalogue of codes for programs, with a sentence for people.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Error {
    code: Code,
    message: String,
}

macro_rules! catalogue {
    ($($variant:ident $status:ident $text:literal),* $(,)?) => {
        /// What programs tell by.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum Code { $($variant),* }

        impl Code {
            /// All of them.
            #[cfg(test)]
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As it is written.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// The HTTP status.
            pub(crate) const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status),* }
            }
        }
    };
}

catalogue! {
    Invalid BAD_REQUEST "invalid",
    Unauthorized UNAUTHORIZED "unauthorized",
    NoSuchRoom NOT_FOUND "no_such_room",
    NoSuchOccupant NOT_FOUND "no_such_occupant",
    NotPlanned NOT_FOUND "not_planned",
    NoSuchOperation NOT_FOUND "no_such_operation",
    WrongMethod METHOD_NOT_ALLOWED "wrong_method",
    TooManyPlans CONFLICT "too_many_plans",
    TooLarge PAYLOAD_TOO_LARGE "too_large",
    Failed INTERNAL_SERVER_ERROR "failed",
    Busy SERVICE_UNAVAILABLE "busy",
}

#[derive(Serialize)]
struct Written<'a> {
    code: &'static str,
    message: &'a str,
}

impl Error {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::Invalid, message)
    }

    #[cfg(test)]
    pub(crate) const fn code(&self) -> Code {
        self.code
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let body = Json(Written {
            code: self.code.as_str(),
            message: &self.message,
        });
        let mut response = (self.code.status(), body).into_response();
        if self.code == Code::Unauthorized {
            let scheme = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        response.extensions_mut().insert(self.code);
        response
    }
}
