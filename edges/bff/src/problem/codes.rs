//! Every code that a problem, or the reason of a refused command or an undone saga, may have: what it means, and what to do.

/// One code.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Code {
    /// Stable; programs match on it.
    pub code: &'static str,
    pub means: &'static str,
    pub remedy: &'static str,
}

const fn code(code: &'static str, means: &'static str, remedy: &'static str) -> Code {
    Code { code, means, remedy }
}

/// The code, if there is one of this name.
pub(crate) fn find(name: &str) -> Option<&'static Code> {
    CODES.iter().find(|code| code.code == name)
}

const AGAIN: &str = "Ask again after the seconds of `Retry-After`, with the same id: what was done is not done twice.";
const MEND: &str = "Mend what `field` and `detail` name, and send it again.";
const FINAL: &str = "Nothing: what is final stays so.";
const LOOK: &str = "Read the thing as it is now, and decide anew.";
const BY_OPERATOR: &str = "Nothing: an operator decided it, and `GET /v1/operations` says who and why.";
const POSSIBLE: &str = "Read the saga: `possible` says what is open to an operator now.";

/// In the order of the alphabet.
pub(crate) const CODES: &[Code] = &[
    code("aborted", "The saga was undone because somebody with the right to do so wanted it.", BY_OPERATOR),
    code("already-enrolled", "The partner is enrolled in the campaign already, with another name or kind.", LOOK),
    code("already-paused", "The subscription is paused already.", LOOK),
    code(
        "amount-invalid",
        "The text is no decimal number that the currency can hold: too many decimals, too large, or no number.",
        MEND,
    ),
    code("amount-not-positive", "An amount that must be more than nothing is not.", MEND),
    code("block-target", "A block is of exactly one partner or one campaign.", MEND),
    code("body-broken", "The body ended or broke before all of it was there.", "Send it again, whole."),
    code("body-invalid", "The dead letter's new body is none that its handler can read.", MEND),
    code("body-late", "The body did not come within the time that is waited for it.", "Send it again, on a better connection."),
    code("body-not-utf-8", "The body holds bytes that are no UTF-8.", "Send JSON in UTF-8."),
    code("body-too-large", "The body is larger than what is read.", "Send less at a time."),
    code("budget-not-positive", "A campaign's budget is more than nothing.", MEND),
    code(
        "bulk-invalid",
        "A decision on many dead letters names exactly those that a dry run has listed.",
        "Run it dry first, and send what it lists.",
    ),
    code("busy", "More is waiting to be done than there is room for, or the server is about to stop.", AGAIN),
    code(
        "campaign-blocked",
        "Events in this campaign are not taken.",
        "Lift the block: `DELETE /v1/blocks/{campaign}~campaign`.",
    ),
    code(
        "campaign-exists",
        "There is a campaign of this id, with other facts.",
        "Choose another id, or leave it out to have one minted.",
    ),
    code("campaign-is-draft", "The campaign's registration is still under way.", "Wait for its saga to end, or cancel it."),
    code("campaign-is-final", "The campaign is finished or cancelled, for good.", FINAL),
    code("campaign-not-draft", "The campaign's registration has ended already.", LOOK),
    code("command-invalid", "Nobody here takes this command, or its content cannot be read.", MEND),
    code(
        "content-type",
        "The body is of another media type than is expected.",
        "Send `Content-Type: application/json`, in UTF-8.",
    ),
    code("cross-site", "A page of another site asked for a change.", "Ask from a page of this site, or from a program."),
    code("currency-differs", "The amount is in another currency than the account.", MEND),
    code("currency-unknown", "The text is no ISO 4217 code, in capitals.", MEND),
    code("cursor-invalid", "A cursor is the `next` of an earlier page, as it came.", "Begin again without a cursor."),
    code(
        "dead-letter-undecided",
        "A command of this row is a dead letter, and only that decides.",
        "Replay or discard the dead letter.",
    ),
    code(
        "deadline",
        "A row before the pivot was not answered in time, so the saga was undone.",
        "Look why the step takes so long, and start it again.",
    ),
    code("discarded", "The command was a dead letter, and an operator discarded it.", BY_OPERATOR),
    code("elsewhere", "This edge keeps nothing itself, and does not send such a request on.", "Ask the service of the context."),
    code("enrolment-cancelled", "The enrolment was cancelled, for good.", FINAL),
    code("event-cancelled", "The event was cancelled, for good.", FINAL),
    code("event-elsewhere", "An event's id begins with the id of its enrolment and `~`.", MEND),
    code("event-exists", "There is an event of this id, with other facts.", "Choose another id."),
    code(
        "event-id-invalid",
        "`Last-Event-ID` is the id of an event of this stream, as it came.",
        "Begin without it, or with the last `id` that came.",
    ),
    code("field-missing", "The body lacks a member that it must have.", MEND),
    code("field-twice", "The body has a member twice.", MEND),
    code("field-unknown", "The body has a member that nobody knows; it may be misspelled.", MEND),
    code("header-invalid", "A header cannot be meant as it is, or is there more than once.", MEND),
    code("epoch-ended", "The stream's epoch is over: another has begun.", LOOK),
    code("headers-too-large", "The headers are too many, or too long together.", "Leave out those that this server needs not."),
    code("id-invalid", "An id has 1 to 64 characters of `A-Z a-z 0-9 . _ : -`; composed ones join ids with `~`.", MEND),
    code(
        "idempotency-mismatch",
        "This `Idempotency-Key`, or this id, was used for another request within seven days.",
        "Use a key of its own for each request; repeat a request byte by byte.",
    ),
    code("instant-invalid", "The text is no instant as RFC 3339 writes it: `2025-09-10T00:00:00Z`.", MEND),
    code(
        "internal",
        "A defect of the server.",
        "Tell whoever runs it: the server's log says why. Look whether it was done before you ask again.",
    ),
    code("json-malformed", "The body is no JSON.", "Send a JSON object; `detail` says at which line and column it breaks."),
    code(
        "key-changed",
        "A dead letter's new body has another key, so it would belong elsewhere.",
        "Discard it, and send a command of its own.",
    ),
    code("kind-invalid", "An event's kind is a word with the characters of an id.", MEND),
    code("kind-unknown", "There is no such kind; `detail` lists those that are known.", MEND),
    code("letter-changed", "The dead letter has been edited since it was read.", LOOK),
    code("letter-unreadable", "The dead letter's envelope cannot be read, so it cannot be edited.", "Discard it."),
    code(
        "limit-exceeded",
        "The brand's account has not enough left for the campaign's budget. `details` has the figures.",
        "Raise the limit: `PUT /v1/brands/{id}/accounts/{currency}`; or end another campaign.",
    ),
    code("limit-invalid", "A page has a number of items within bounds.", MEND),
    code("limit-negative", "An account's limit is not less than nothing.", MEND),
    code("method-not-allowed", "The path has no such method.", "The header `Allow` lists those that it has."),
    code("no-answer", "There was no answer in time; whether it is done is not known.", AGAIN),
    code("no-gap", "Nothing is missing there: only a gap can be skipped.", LOOK),
    code(
        "no-stream",
        "The service of one context sees no other's events, and none that are new.",
        "Ask the bff; or for the past, with `follow=false`.",
    ),
    code("no-such-path", "There is nothing at this path.", "See `/docs` for what there is."),
    code("no-version", "This thing has no version to compare `If-Match` with.", "Leave `If-Match` out."),
    code("not-dead", "The dead letter has been decided already, or is none.", LOOK),
    code("not-paused", "Nothing has paused the subscription.", LOOK),
    code("not-reserved", "The campaign has nothing reserved on this account.", LOOK),
    code("not-stuck", "The saga goes on by itself, so there is nothing to decide.", POSSIBLE),
    code("nothing-to-send", "The stream has sent nothing to this destination.", LOOK),
    code("other-context", "The service keeps another context.", "Ask the bff, or the service of that context."),
    code("outcome-wrong", "Whether it happened is said of a pivot, and only of a pivot.", MEND),
    code("participant-twice", "A partner is named twice in one campaign.", MEND),
    code("participants-count", "A campaign has at least one participant, and not too many.", MEND),
    code("partner-banned", "The partner is banned and cannot be enrolled.", "Lift the ban: `POST /v1/partners/{id}/unban`."),
    code("partner-blocked", "Events of this partner are not taken.", "Lift the block: `DELETE /v1/blocks/{partner}~partner`."),
    code("partner-differs", "The partner that is named is not the one of the enrolment.", MEND),
    code(
        "partition-away",
        "The replica that holds what this is about cannot be reached; its lease soon ends, and another takes over.",
        AGAIN,
    ),
    code("partition-elsewhere", "Another replica holds what this is about, and this one was asked on its behalf.", AGAIN),
    code(
        "partition-unheld",
        "No replica holds what this is about at the moment: one stopped, and another takes over soon.",
        AGAIN,
    ),
    code("path-invalid", "The path cannot be read, for instance because it is no UTF-8.", MEND),
    code("query-invalid", "A parameter behind the `?` is unknown, there twice, or of a wrong form.", MEND),
    code("reason-invalid", "A reason is printable text of at most 500 characters.", MEND),
    code("reason-missing", "This decision is kept with its reason.", "Say why, in `reason`."),
    code("reservation-exists", "The campaign has a reservation of another amount.", LOOK),
    code("reservation-released", "The reservation has been given back, for good.", FINAL),
    code("resolved", "An operator recorded that the step did not happen.", BY_OPERATOR),
    code(
        "rows-dropped",
        "The log does not hold these rows any more: `log.keep` has dropped them. `details` says which is the first.",
        "Begin with the first that is kept.",
    ),
    code(
        "saga-broken",
        "The saga, or its table, cannot be read by this build.",
        "Run `alpes doctor`; a build that knows the saga can move it.",
    ),
    code("saga-ended", "The saga has ended.", POSSIBLE),
    code("saga-undoing", "The saga is being undone already.", POSSIBLE),
    code("service-away", "The service of a context cannot be reached.", AGAIN),
    code("sort-unknown", "The list cannot be sorted so; `detail` says how it can.", MEND),
    code("starting", "The service waits for its broker or its database, and has not begun.", AGAIN),
    code(
        "status-not-draft",
        "A campaign begins as draft: its registration makes it active.",
        "Leave `estado` out, or send `draft`.",
    ),
    code("stream-away", "The broker does not give the topics of the events at the moment.", AGAIN),
    code("status-unknown", "There is no such status; `detail` lists those that there are.", MEND),
    code("stopping", "The server stops; whether this was done is not known.", AGAIN),
    code("store-paused", "The store cannot be written at the moment: the disk is full, or somebody holds the file.", AGAIN),
    code("store-unreadable", "The store cannot be read at the moment.", AGAIN),
    code("target-too-long", "Path and query together are longer than what is read.", "Ask for less at a time."),
    code("text-length", "A text is shorter or longer than it may be.", MEND),
    code("too-late", "The saga has passed its pivot: from there it is only completed.", POSSIBLE),
    code("type-wrong", "A member of the body is of another JSON type than is expected.", MEND),
    code("unavailable", "The store or the disk cannot be written at the moment. Nothing is lost.", AGAIN),
    code(
        "unknown",
        "There is no such thing, or not yet: `details` says which kind and id.",
        "Check the id; of a thing that is being made, look at its command.",
    ),
    code(
        "version-differs",
        "The thing has changed since it was read: its entity tag is not the one of `If-Match`.",
        "Read it again, decide anew, and send its present `ETag`.",
    ),
    code("window-ends-before-start", "A campaign's window ends after it starts.", MEND),
];
