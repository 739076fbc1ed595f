//! Tasks of BentoML 1.x: requests whose answers are fetched later.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::contract::Plain;
use super::identity::Uuid;
use super::job::Media;

/// Tasks that are kept; the oldest finished one goes first.
const MOST: usize = 256;
/// Bytes of requests and answers that all tasks keep.
const MOST_BYTES: usize = 16 << 20;

/// What a task is asked for, to be run again.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) model: usize,
    pub(super) api: usize,
    pub(super) media: Media,
    pub(super) body: Vec<u8>,
}

/// A task.
#[derive(Clone, Debug)]
struct Task {
    number: u64,
    id: String,
    asked: Asked,
    created: SystemTime,
    /// Status and whole response.
    ended: Option<(u16, Vec<u8>)>,
}

/// All tasks.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    tasks: VecDeque<Task>,
    next: u64,
}

impl Tasks {
    /// Keeps a new task; its number, and what the client is told. `None` where there is no room.
    pub(super) fn submit(&mut self, asked: &Asked, id: Uuid) -> Option<(u64, Plain)> {
        while self.tasks.len() >= MOST || self.bytes() + asked.body.len() > MOST_BYTES {
            let finished = self.tasks.iter().position(|task| task.ended.is_some())?;
            self.tasks.remove(finished);
        }
        let number = self.next;
        self.next += 1;
        let id = id.hex();
        let plain = Plain::json(200, &json!({ "task_id": id, "status": "in_progress" }));
        self.tasks.push_back(Task { number, id, asked: asked.clone(), created: SystemTime::now(), ended: None });
        Some((number, plain))
    }

    fn bytes(&self) -> usize {
        let held = |task: &Task| task.asked.body.len() + task.ended.as_ref().map_or(0, |(_, bytes)| bytes.len());
        self.tasks.iter().map(held).sum()
    }

    /// Takes the response of the task with this number.
    pub(super) fn end(&mut self, number: u64, status: u16, response: &[u8]) {
        if let Some(task) = self.tasks.iter_mut().find(|task| task.number == number) {
            task.ended = Some((status, response.to_vec()));
        }
    }

    fn find(&self, id: Option<&str>) -> Result<&Task, Plain> {
        let id = id.ok_or_else(|| Plain::json(400, &json!({ "error": "task_id is required" })))?;
        let task = self.tasks.iter().find(|task| task.id == id);
        task.ok_or_else(|| Plain::json(404, &json!({ "error": "task_id not found" })))
    }

    /// The state of a task.
    pub(super) fn status(&self, id: Option<&str>) -> Plain {
        let task = match self.find(id) {
            Ok(task) => task,
            Err(plain) => return plain,
        };
        let state = match &task.ended {
            None => "in_progress",
            Some((status, _)) if *status < 400 => "completed",
            Some(_) => "failed",
        };
        // BentoML's store says when the task was begun, which is when it was submitted.
        let time = spelt(task.created);
        Plain::json(200, &json!({ "task_id": task.id, "status": state, "created_at": time, "executed_at": time }))
    }

    /// Status and response of a task that has ended.
    pub(super) fn result(&self, id: Option<&str>) -> Result<(u16, &[u8]), Plain> {
        let task = self.find(id)?;
        match &task.ended {
            Some((status, response)) => Ok((*status, response)),
            None => Err(not_completed(&task.id)),
        }
    }

    /// What a task that has ended was asked for.
    pub(super) fn asked(&self, id: Option<&str>) -> Result<Asked, Plain> {
        let task = self.find(id)?;
        if task.ended.is_none() {
            return Err(not_completed(&task.id));
        }
        Ok(task.asked.clone())
    }

    /// Answer to a request to cancel a task, which neither BentoML's own server does.
    pub(super) fn cancel(&self, id: Option<&str>) -> Plain {
        match self.find(id) {
            Err(plain) if plain.status == 400 => plain,
            _ => {
                Plain::json(400, &json!({ "error": "task cancellation is not supported in local development server" }))
            }
        }
    }
}

fn not_completed(id: &str) -> Plain {
    Plain::json(400, &json!({ "error": format!("task {id} is not completed yet") }))
}

/// A time in UTC, to the second, as BentoML's store of tasks spells it.
fn spelt(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Year, month and day of a day since 1970: Howard Hinnant's `civil_from_days`.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::time::Duration;

    #[test]
    fn times_are_spelt_as_python_spells_them() {
        assert_eq!(spelt(UNIX_EPOCH), "1970-01-01T00:00:00");
        assert_eq!(spelt(UNIX_EPOCH + Duration::from_micros(1_709_210_096_000_007)), "2024-02-29T12:34:56");
    }

    #[test]
    fn a_task_lives() {
        let mut tasks = Tasks::default();
        let asked = Asked { model: 0, api: 0, media: Media::Json, body: b"{}".to_vec() };
        let (number, plain) = tasks.submit(&asked, Uuid(1, 2)).unwrap();
        let told: Value = serde_json::from_str(&plain.body).unwrap();
        let id = told["task_id"].as_str();
        assert!(tasks.status(id).body.contains("in_progress"));
        assert_eq!(tasks.result(id).unwrap_err().status, 400);
        tasks.end(number, 200, b"answer");
        assert_eq!(tasks.result(id).unwrap(), (200, &b"answer"[..]));
        assert!(tasks.status(id).body.contains("completed"));
        assert_eq!((tasks.status(None).status, tasks.status(Some("x")).status), (400, 404));
        for _ in 0..MOST {
            let (number, _) = tasks.submit(&asked, Uuid(3, 4)).unwrap();
            tasks.end(number, 500, b"");
        }
        assert_eq!((tasks.tasks.len(), tasks.status(id).status), (MOST, 404));
    }
}
