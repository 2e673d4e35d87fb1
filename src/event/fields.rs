//! The texts of an event: every field whose content a client chooses freely.

use super::json::Json;
use super::score::Score;
use super::types::{
    AliasedRoot, ApprovalDecided, ApprovalRequested, Event, EventBody, Heartbeat, Message,
    RunEnded, RunObserved, RunStarted, SessionUpsert, StepAliased, StepDetails, StepEnded,
    StepStarted, TokenCount,
};

/// A field that holds text.
#[derive(Debug)]
pub enum EventField<'a> {
    /// Plain text.
    Text(&'a mut String),
    /// JSON, whose keys and values are texts.
    Json(&'a mut Json),
}

/// Hands fields to a visitor.
struct FieldVisits<F>(F);

impl<F: FnMut(EventField<'_>)> FieldVisits<F> {
    fn texts<const N: usize>(&mut self, fields: [&mut Option<String>; N]) {
        for text in fields.into_iter().flatten() {
            (self.0)(EventField::Text(text));
        }
    }

    fn required(&mut self, text: &mut String) {
        (self.0)(EventField::Text(text));
    }

    fn json<const N: usize>(&mut self, fields: [&mut Option<Json>; N]) {
        for json in fields.into_iter().flatten() {
            (self.0)(EventField::Json(json));
        }
    }

    fn details(&mut self, details: &mut StepDetails) {
        let StepDetails {
            step_type: _,
            kind,
            name,
            parent_step_id: _,
            model,
            input,
            metadata,
            parent_may_be_alias: _,
        } = details;
        self.texts([kind, name, model]);
        self.json([input, metadata]);
    }

    fn observed(&mut self, observed: &mut RunObserved) {
        let RunObserved {
            run_id: _,
            rank: _,
            session_id: _,
            agent_id,
            agent_type,
            name,
            input,
            output,
            metadata,
            outcome: _,
            error,
            customer,
            user,
            tags,
        } = observed;
        self.texts([agent_id, agent_type, name, input, output, error]);
        self.texts([customer, user]);
        self.json([metadata, tags]);
    }

    fn started(&mut self, started: &mut RunStarted) {
        let RunStarted {
            run_id: _,
            session_id: _,
            parent_run_id: _,
            customer_id: _,
            agent_id,
            agent_type,
            name,
            input,
            metadata,
            timeout_ms: _,
        } = started;
        self.required(agent_id);
        self.required(agent_type);
        self.texts([name, input]);
        self.json([metadata]);
    }

    fn ended(&mut self, ended: &mut RunEnded) {
        let RunEnded {
            run_id: _,
            by: _,
            status: _,
            output,
            error,
            reported_tokens_input: _,
            reported_tokens_output: _,
            metadata,
            started_at: _,
        } = ended;
        self.texts([output, error]);
        self.json([metadata]);
    }

    fn session(&mut self, session: &mut SessionUpsert) {
        let SessionUpsert {
            session_id: _,
            customer_id: _,
            user_id: _,
            title,
            external_id,
            metadata,
        } = session;
        self.texts([title, external_id]);
        self.json([metadata]);
    }

    fn step_started(&mut self, started: &mut StepStarted) {
        let StepStarted {
            step_id: _,
            run_id: _,
            details,
        } = started;
        self.details(details);
    }

    fn step_ended(&mut self, ended: &mut StepEnded) {
        let StepEnded {
            step_id: _,
            run_id: _,
            details,
            status: _,
            output,
            error,
            started_at: _,
            duration_ms: _,
            announced: _,
            view: _,
        } = ended;
        if let Some(details) = details {
            self.details(details);
        }
        self.json([output]);
        self.texts([error]);
    }

    fn aliased(&mut self, aliased: &mut StepAliased) {
        let StepAliased {
            alias_id: _,
            run_id: _,
            step_id: _,
            parent_step_id: _,
            root,
        } = aliased;
        if let Some(root) = root {
            let AliasedRoot {
                started_at: _,
                ended_at: _,
                status: _,
                error,
                name,
            } = root;
            self.texts([error]);
            self.required(name);
        }
    }

    fn message(&mut self, message: &mut Message) {
        let Message {
            message_id: _,
            run_id: _,
            session_id: _,
            step_id: _,
            role: _,
            content,
            thinking,
            tool_calls,
            metadata,
            seq: _,
            sighting: _,
            believed_new: _,
        } = message;
        self.texts([content, thinking]);
        self.json([tool_calls, metadata]);
    }

    fn token_count(&mut self, count: &mut TokenCount) {
        let TokenCount {
            token_count_id: _,
            run_id: _,
            step_id: _,
            model,
            input: _,
            output: _,
            cache_read: _,
            cache_write: _,
            reasoning: _,
            rollup: _,
        } = count;
        self.texts([model]);
    }

    fn requested(&mut self, requested: &mut ApprovalRequested) {
        let ApprovalRequested {
            approval_id: _,
            run_id: _,
            session_id: _,
            step_id: _,
            action_type,
            action_description,
            action_data,
            expires_at: _,
        } = requested;
        self.required(action_type);
        self.texts([action_description]);
        self.json([action_data]);
    }

    fn decided(&mut self, decided: &mut ApprovalDecided) {
        let ApprovalDecided {
            approval_id: _,
            run_id: _,
            session_id: _,
            status: _,
            decided_by: _,
            notes,
        } = decided;
        self.texts([notes]);
    }

    fn score(&mut self, score: &mut Score) {
        let Score {
            score_id: _,
            run_id: _,
            step_id: _,
            name,
            value: _,
            label,
            comment,
            source,
            metadata,
        } = score;
        self.required(name);
        self.texts([label, comment, source]);
        self.json([metadata]);
    }
}

impl Event {
    /// Hands every text of the event to `visit`, which may change it. The patterns name all
    /// fields, so that a new field does not compile before somebody decides about it.
    pub fn visit_fields(&mut self, visit: impl FnMut(EventField<'_>)) {
        let Self {
            time: _,
            tenant: _,
            body,
        } = self;
        let mut visits = FieldVisits(visit);
        match body {
            EventBody::SessionUpsert(e) => visits.session(e),
            EventBody::RunStarted(e) => visits.started(e),
            EventBody::RunEnded(e) => visits.ended(e),
            EventBody::Heartbeat(Heartbeat { run_id: _ }) => {}
            EventBody::StepStarted(e) => visits.step_started(e),
            EventBody::StepEnded(e) => visits.step_ended(e),
            EventBody::Message(e) => visits.message(e),
            EventBody::TokenCount(e) => visits.token_count(e),
            EventBody::ApprovalRequested(e) => visits.requested(e),
            EventBody::ApprovalDecided(e) => visits.decided(e),
            EventBody::RunObserved(e) => visits.observed(e),
            EventBody::StepAliased(e) => visits.aliased(e),
            EventBody::Score(e) => visits.score(e),
        }
    }
}
