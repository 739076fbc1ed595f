//! What a request asks for.

use super::head::Method;
use super::models::Model;

/// What a path stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// An API.
    Api(usize, usize),
    /// A step in the life of an API's task.
    Task(usize, usize, TaskStep),
    /// A document of an artifact.
    Document(usize, Document),
    /// The page for people.
    Page,
    /// `/healthz`, `/livez`, `/readyz`.
    Health,
    /// `/metrics`.
    Metrics,
}

/// Routes of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TaskStep {
    Submit,
    Status,
    Get,
    Retry,
    Cancel,
}

/// Documents of an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Document {
    OpenApi,
    Schema,
    Metadata,
    Feedback,
}

/// The route of a path.
pub(super) fn find(models: &[Model], path: &str) -> Option<Route> {
    let all_old = models.iter().all(Model::is_old);
    match path {
        "/" | "/docs" => return Some(Route::Page),
        "/metrics" => return Some(Route::Metrics),
        "/healthz" => return Some(Route::Health),
        "/livez" | "/readyz" if !all_old => return Some(Route::Health),
        _ => {}
    }
    for (index, model) in models.iter().enumerate() {
        let Some(rest) = path.strip_prefix(model.prefix.as_str()).and_then(|rest| rest.strip_prefix('/')) else {
            continue;
        };
        let manifest = model.session.manifest();
        for (at, api) in manifest.apis.iter().enumerate() {
            match rest.strip_prefix(api.route.as_str()) {
                Some("") => return Some(Route::Api(index, at)),
                Some(step) if api.wire.task => {
                    let step = match step {
                        "/submit" => TaskStep::Submit,
                        "/status" => TaskStep::Status,
                        "/get" => TaskStep::Get,
                        "/retry" => TaskStep::Retry,
                        "/cancel" => TaskStep::Cancel,
                        _ => continue,
                    };
                    return Some(Route::Task(index, at, step));
                }
                _ => {}
            }
        }
        let documents = &manifest.documents;
        let document = match (rest, model.is_old()) {
            ("docs.json", _) => Document::OpenApi,
            ("schema.json", false) if !documents.schema.is_empty() => Document::Schema,
            ("metadata", true) if !documents.metadata.is_empty() => Document::Metadata,
            ("feedback", true) => Document::Feedback,
            _ => continue,
        };
        return Some(Route::Document(index, document));
    }
    None
}

impl Route {
    /// The methods that the route takes, for the header `Allow`; empty for an API of BentoML 0.13, which its proxy gives any.
    pub(super) fn allowed(self, models: &[Model]) -> &'static [Method] {
        match self {
            Self::Api(model, api) if models[model].is_old() => {
                let api = &models[model].session.manifest().apis[api];
                match (api.batch, api.wire.input.as_str()) {
                    (true, _) => &[],
                    (false, "MultiImageInput" | "AnnotatedImageInput" | "MultiFileInput") => {
                        &[Method::Post, Method::Options]
                    }
                    (false, _) => &[Method::Post, Method::Get, Method::Head, Method::Options],
                }
            }
            Self::Api(..) | Self::Task(_, _, TaskStep::Submit | TaskStep::Retry) => &[Method::Post],
            Self::Task(_, _, TaskStep::Cancel) => &[Method::Put],
            Self::Document(_, Document::Feedback) => &[Method::Post],
            Self::Task(..) | Self::Document(..) | Self::Page | Self::Health | Self::Metrics => {
                &[Method::Get, Method::Head]
            }
        }
    }
}
