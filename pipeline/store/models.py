"""The tables. Field names are the canonical document's; every `*_at` is UTC milliseconds from the database's clock.

Models are not bound to a database: a `Store` executes their queries, so that several databases can be open in one
process (the live one, a sandbox, an emptied one). Tables, triggers and views are made by the numbered migrations, which
hold frozen copies of these definitions; a test compares the two.
"""

from __future__ import annotations

from peewee import (
    AutoField,
    BigIntegerField,
    BooleanField,
    CompositeKey,
    ForeignKeyField,
    IntegerField,
    Model,
    TextField,
)

STATES = ("idle", "running", "complete", "failed")
DEPTHS = ("none", "laps_full")
RUN_KINDS = ("ingest", "cleanup", "reset", "restore")
MODES = ("enabled", "disabled", "protected")
ACTION_KINDS = ("cleanup", "cleanup_full", "reset", "restore", "undo")
WORKER_KINDS = ("worker", "console")
JOB_OUTCOMES = ("done", "failed", "abandoned")
WANTED_WHY = ("asked", "new", "recheck", "retry")
FIXTURE_CHANGES = ("captured", "found", "inherited", "accepted", "archived")
OUTCOMES = ("published", "unchanged", "failed", "interrupted", "cleared", "cleaned", "reset", "restored")
CASE_STATES = ("suspected", "confirmed", "event_only", "repaired", "dismissed")


class Table(Model):
    class Meta:
        legacy_table_names = False


class Track(Table):
    """A track of the catalogue, or one that an event named."""

    id = AutoField()
    slug = TextField(unique=True)  # as the catalogue writes it, else in small letters; compared lower-case
    name = TextField(null=True)
    latest_event = TextField(null=True)
    status = IntegerField(null=True)
    live_video = BooleanField(default=False)
    featured = BooleanField(default=False)
    updated_text = TextField(null=True)
    followed = BooleanField(default=False)
    active = BooleanField(default=True)  # in the newest catalogue; a vanished track is inactive, never deleted
    listed_at = BigIntegerField(null=True)  # last time its events listing was read
    seen_at = BigIntegerField(null=True)  # last time the catalogue named it


class Event(Table):
    """One event: how the last attempt stands (`state`), and what is served (`ingest_depth`, `current_run`)."""

    id = AutoField()
    source = TextField(default="liverc")
    source_event_id = TextField()
    track = ForeignKeyField(Track, backref="events", on_delete="RESTRICT")
    event_name = TextField(null=True)
    start_date = TextField(null=True)
    end_date = TextField(null=True)
    starts_at_local = TextField(null=True)
    entries = IntegerField(null=True)
    drivers = IntegerField(null=True)
    state = TextField(default="idle")
    ingest_depth = TextField(default="none")
    current_run_id = BigIntegerField(null=True)  # → run.id, guarded by trigger (sealed, same event)
    last_run_id = BigIntegerField(null=True)  # the newest attempt, whatever became of it
    last_ingested_at = BigIntegerField(null=True)  # when the served rows were published
    last_checked_at = BigIntegerField(null=True)  # when the source was last found unchanged or published
    added_at = BigIntegerField()
    failed_attempts = IntegerField(default=0)  # runs that failed, were cancelled or died since the last success
    lost_runs = IntegerField(default=0)  # how many of the newest in a row died without saying how they ended
    retry_at = BigIntegerField(null=True)  # when the next automatic attempt is due; None: none is
    held_reason = TextField(null=True)  # why nothing happens to it automatically until a person acts
    held_at = BigIntegerField(null=True)

    class Meta:
        indexes = ((("source", "source_event_id"), True), (("state",), False))


class Run(Table):
    """One attempt or action on an event's data. Races, results, laps belong to a run; sealed, it is immutable."""

    id = AutoField()
    event = ForeignKeyField(Event, backref="runs", on_delete="RESTRICT")
    kind = TextField()  # RUN_KINDS
    token = BigIntegerField(default=0)  # the lease token it was started with: its fence; 0 until the lease is acquired
    trigger = TextField()  # who asked: cli, console, api, schedule
    outcome = TextField(null=True)  # OUTCOMES; None while it runs
    sealed = BooleanField(default=False)
    purged_at = BigIntegerField(null=True)  # when a purge was permitted: from then on it can never be served again
    started_at = BigIntegerField()
    finished_at = BigIntegerField(null=True)
    stage = TextField(null=True)  # fetch, parse, normalise, validate, publish
    pages_done = IntegerField(default=0)
    pages_total = IntegerField(null=True)
    stage_ms = TextField(default="{}")  # JSON: stage → milliseconds spent
    error = TextField(null=True)  # JSON: the envelope
    document_sha256 = TextField(null=True)
    parser_build = TextField(null=True)
    pages_manifest = TextField(null=True)  # sha256 of the run's manifest in the page archive
    holder = TextField(default="{}")  # JSON: host, boot id, pid, process start, thread, version
    restored_run_id = BigIntegerField(null=True)
    # the manifest: what a sealed run holds, to the last lap
    race_count = IntegerField(default=0)
    result_count = IntegerField(default=0)
    lap_count = IntegerField(default=0)
    lap_ms_sum = BigIntegerField(default=0)
    entry_count = IntegerField(default=0)

    class Meta:
        indexes = ((("event", "started_at"), False),)


class EventHeader(Table):
    """The event-level fields of the document that a run published."""

    run = ForeignKeyField(Run, primary_key=True, on_delete="RESTRICT")
    source = TextField()
    source_event_id = TextField()
    track_slug = TextField()
    event_name = TextField()
    start_date = TextField(null=True)
    end_date = TextField(null=True)
    entries = IntegerField(null=True)
    drivers = IntegerField(null=True)
    has_entry_list = BooleanField()


class Race(Table):
    id = AutoField()
    run = ForeignKeyField(Run, backref="races", on_delete="RESTRICT")
    source_race_id = TextField()
    class_name = TextField()
    race_label = TextField()
    round = TextField(null=True)
    race_number = IntegerField(null=True)
    race_order = IntegerField()
    completed_at_local = TextField(null=True)
    length_seconds = IntegerField(null=True)

    class Meta:
        indexes = ((("run", "source_race_id"), True), (("run", "race_order"), True))


class Result(Table):
    id = AutoField()
    race = ForeignKeyField(Race, backref="results", on_delete="RESTRICT")
    row_number = IntegerField()  # 1…n in document order
    position = IntegerField()
    source_driver_id = TextField(null=True)
    driver_name = TextField()
    car_number = IntegerField(null=True)
    qualifying_position = IntegerField(null=True)
    laps_completed = IntegerField()
    total_time_ms = IntegerField(null=True)
    behind = TextField(null=True)
    fast_lap_ms = IntegerField(null=True)
    fast_lap_number = IntegerField(null=True)
    avg_lap_ms = IntegerField(null=True)
    avg_top_5_ms = IntegerField(null=True)
    avg_top_10_ms = IntegerField(null=True)
    avg_top_15_ms = IntegerField(null=True)
    top_2_consecutive_ms = IntegerField(null=True)
    top_3_consecutive_ms = IntegerField(null=True)
    std_deviation_ms = IntegerField(null=True)
    consistency_milli = IntegerField(null=True)  # thousandths of a percent
    grid_position = IntegerField(null=True)

    class Meta:
        indexes = ((("race", "row_number"), True),)


class Lap(Table):
    """About 21 bytes a row: keyed by result and lap number, without a row id."""

    result = ForeignKeyField(Result, backref="laps", index=False, on_delete="RESTRICT")
    lap_number = IntegerField()
    lap_time_ms = IntegerField()
    elapsed_ms = IntegerField()
    position = IntegerField(null=True)
    pace = TextField(null=True)

    class Meta:
        primary_key = CompositeKey("result", "lap_number")
        without_rowid = True


class Entry(Table):
    id = AutoField()
    run = ForeignKeyField(Run, backref="entries", on_delete="RESTRICT")
    row_number = IntegerField()
    class_name = TextField()
    number = IntegerField()
    driver_name = TextField()
    transponder = TextField(null=True)

    class Meta:
        indexes = ((("run", "row_number"), True),)


class Lease(Table):
    """One row per event that was ever worked on. `token` only grows; `run_id` is None while nobody holds it."""

    event = ForeignKeyField(Event, primary_key=True, on_delete="RESTRICT")
    token = BigIntegerField(default=0)
    run_id = BigIntegerField(null=True)
    holder = TextField(null=True)  # JSON, as in Run.holder
    acquired_at = BigIntegerField(null=True)
    heartbeat_at = BigIntegerField(null=True)
    expires_at = BigIntegerField(null=True)
    progress = TextField(null=True)  # one line, e.g. "fetch 12/33"
    cancel_requested_at = BigIntegerField(null=True)


class RunTimeline(Table):
    """Where a run's time went, written once, when it ends."""

    run = ForeignKeyField(Run, primary_key=True, on_delete="RESTRICT")
    spans = TextField()  # JSON: see pipeline.spans


class Transition(Table):
    """Every step of every event's state, written by a trigger."""

    id = AutoField()
    event = ForeignKeyField(Event, on_delete="RESTRICT")
    from_state = TextField()
    to_state = TextField()
    at = BigIntegerField()


class Journal(Table):
    """What must not be lost: audit, warnings (open until acknowledged), actions, the runs' own log. Append-only."""

    id = AutoField()
    at = BigIntegerField()
    entry_kind = TextField()  # log, audit, warning, action
    severity = TextField()  # debug, info, warning, error
    name = TextField()  # stable event name, e.g. ingestion_start
    message = TextField()
    event_id = BigIntegerField(null=True)
    run_id = BigIntegerField(null=True)
    fields = TextField(default="{}")  # JSON
    acknowledged_at = BigIntegerField(null=True)
    acknowledged_by = TextField(null=True)

    class Meta:
        indexes = ((("run_id",), False), (("event_id",), False), (("entry_kind", "acknowledged_at"), False))


class Politeness(Table):
    """One row per registrable domain: when the next request may start, shared by every thread, process and machine."""

    domain = TextField(primary_key=True)
    next_at = BigIntegerField(default=0)
    paused_until = BigIntegerField(default=0)


class RobotsFile(Table):
    """The newest robots.txt of each host."""

    host = TextField(primary_key=True)
    status = IntegerField()
    body = TextField()
    fetched_at = BigIntegerField()


class PurgePermit(Table):
    """Present only inside a purge's own transaction: the one door through which a sealed run's rows may leave."""

    run_id = BigIntegerField(primary_key=True)
    reason = TextField()


class Control(Table):
    """The global switch: one row, whose newest change the journal explains."""

    id = IntegerField(primary_key=True, default=1)
    mode = TextField(default="enabled")  # MODES; protected: disabled, and only recovery may write
    reason = TextField(null=True)
    changed_by = TextField(null=True)  # None: never changed
    changed_at = BigIntegerField(null=True)


class CheckRun(Table):
    """One run of the checks and what it found. Never changed."""

    id = AutoField()
    event = ForeignKeyField(Event, null=True, on_delete="RESTRICT")  # None: everything was checked
    asked_by = TextField()  # a person, or the action that it followed
    started_at = BigIntegerField()
    finished_at = BigIntegerField()
    passed = BooleanField()  # no error; warnings pass
    error_count = IntegerField()
    warning_count = IntegerField()
    checks = TextField()  # JSON: check → milliseconds
    findings = TextField()  # JSON: the first of them
    parser_build = TextField()


class Action(Table):
    """A recovery action that was taken, with what its undo needs. History: it only ever loses `kept`, to a purge."""

    id = AutoField()
    event = ForeignKeyField(Event, backref="actions", on_delete="RESTRICT")
    run = ForeignKeyField(Run, backref="actions", unique=True, on_delete="RESTRICT")  # the run that carried it out
    kind = TextField()  # ACTION_KINDS
    who = TextField()
    reason = TextField()
    at = BigIntegerField()
    batch = TextField(null=True)  # actions that were confirmed together
    undoes = ForeignKeyField("self", column_name="undoes", null=True, unique=True, on_delete="RESTRICT")
    from_run_id = BigIntegerField(null=True)  # what was served before and after
    to_run_id = BigIntegerField(null=True)
    plan = TextField()  # JSON: recovery.Plan, as it was carried out
    kept = TextField(null=True)  # JSON: the rows that were removed
    undo_closed_at = BigIntegerField(null=True)  # when a purge gave up what its undo needs

    class Meta:
        indexes = ((("from_run_id",), False),)


class Worker(Table):
    """A process that runs the schedule, on any machine: a worker or a console. Its heartbeat is `seen_at`."""

    id = AutoField()
    kind = TextField()  # WORKER_KINDS
    host = TextField()
    pid = IntegerField()
    version = TextField()
    started_at = BigIntegerField()
    seen_at = BigIntegerField()
    ticked_at = BigIntegerField(null=True)  # when it last looked whether anything is due
    doing = TextField(null=True)  # one phrase; None: it waits
    stopped_at = BigIntegerField(null=True)  # when it ended by itself


class Schedule(Table):
    """Which job is due when. A tick takes it by compare-and-set on `next_due_at`."""

    id = AutoField()
    name = TextField(unique=True)
    job = TextField()  # pipeline.jobs.JOBS
    timing = TextField()  # "every 6h" or five cron fields, UTC
    options = TextField()  # JSON
    paused = BooleanField()
    next_due_at = BigIntegerField(null=True)  # None: the next tick works it out
    asked_at = BigIntegerField(null=True)  # a person wants it now, paused or not
    failures = IntegerField()  # in a row
    changed_by = TextField(null=True)  # None: as it came with the program
    changed_at = BigIntegerField(null=True)


class JobRun(Table):
    """One run of a schedule. However many workers tick, there is one for each moment it was due."""

    id = AutoField()
    schedule = ForeignKeyField(Schedule, backref="runs", index=False, on_delete="RESTRICT")
    due_at = BigIntegerField()
    made_at = BigIntegerField()  # when a tick saw that it was due
    worker = ForeignKeyField(Worker, null=True, backref="runs", on_delete="RESTRICT")  # who has it, or had it
    attempt = IntegerField()  # how often it was taken: more than once where a worker vanished over it
    taken_at = BigIntegerField(null=True)
    finished_at = BigIntegerField(null=True)
    outcome = TextField(null=True)  # JOB_OUTCOMES
    said = TextField(null=True)  # one sentence: what it did, or why it failed

    class Meta:
        indexes = ((("schedule", "due_at"), True),)


class Wanted(Table):
    """An event that shall be ingested as soon as somebody can. The run that takes the lease removes the row."""

    event = ForeignKeyField(Event, primary_key=True, on_delete="RESTRICT")
    why = TextField()  # WANTED_WHY
    asked_by = TextField()  # the run's trigger: schedule, api, cli, console
    who = TextField(null=True)
    at = BigIntegerField()


class FixtureResult(Table):
    """How one page set read with one build of the readers. Never changed; of one build and set the newest counts."""

    id = AutoField()
    parser_build = TextField()
    fixture_set = TextField()  # the source's event id
    fixture_version = IntegerField()
    origin = TextField()  # shipped, captured
    set_sha256 = TextField()  # of the set's metadata, which holds the sha256 of every file
    passed = BooleanField()
    document_sha256 = TextField(null=True)  # of what the pages gave
    failure = TextField(null=True)  # why they gave nothing, or why the set was refused
    field = TextField(null=True)  # that it is about, or the first that differs
    difference_count = IntegerField()
    differences = TextField()  # JSON: the first of them
    took_ms = IntegerField()
    at = BigIntegerField()

    class Meta:
        indexes = ((("parser_build", "set_sha256"), False),)


class Gate(Table):
    """Whether ingestion may use a build of the readers: what its replays of all page sets came to."""

    parser_build = TextField(primary_key=True)
    passed = BooleanField()
    sets_sha256 = TextField()  # of the page sets that were there, in order
    set_count = IntegerField()
    failing_set = TextField(null=True)
    failing_field = TextField(null=True)
    first_difference = TextField(null=True)  # or the failure
    changed_at = BigIntegerField()  # when it last turned
    checked_at = BigIntegerField()


class FixtureVersion(Table):
    """The history of captured page sets: how each version came to be, and which drift case allowed it. Append-only."""

    id = AutoField()
    fixture_set = TextField()
    fixture_version = IntegerField()
    set_sha256 = TextField()
    how = TextField()  # FIXTURE_CHANGES
    case_id = BigIntegerField(null=True)  # → drift_case.id, confirmed at that moment
    reason = TextField()
    who = TextField()
    at = BigIntegerField()

    class Meta:
        indexes = ((("fixture_set",), False),)


class ContractChange(Table):
    """The audit of accepted additions to contracts, which are files in the data folder. Append-only."""

    id = AutoField()
    page_type = TextField()
    version = IntegerField()
    how = TextField()  # accepted, withdrawn
    withdraws = IntegerField(null=True)
    parser_build = TextField()  # of the readers from then on
    addition = TextField()  # JSON: everything in force from then on
    case_id = BigIntegerField(null=True)
    reason = TextField()
    who = TextField()
    at = BigIntegerField()


class PageStructure(Table):
    """One structure that pages of a type were seen in, and whether anybody was told that it is new."""

    page_type = TextField()
    digest = TextField()
    lines = TextField()  # JSON: the lines of the fingerprint
    first_seen_at = BigIntegerField()
    last_seen_at = BigIntegerField()
    first_url = TextField()
    alerted_at = BigIntegerField(null=True)

    class Meta:
        primary_key = CompositeKey("page_type", "digest")


class PageSignal(Table):
    """What one believed page looked like when it was last read: the newest of each page type, a bounded window."""

    id = AutoField()
    page_type = TextField()
    url = TextField()
    origin = TextField()  # what the page belongs to: pages of one event are no independent witnesses
    run_id = BigIntegerField(null=True)
    at = BigIntegerField()
    parser_build = TextField()
    build_marker = TextField(null=True)  # LiveRC's own
    digest = TextField()  # → page_structure
    variant = TextField()  # pages of one variant are compared with each other
    fields = TextField()  # JSON: field → what was read there

    class Meta:
        indexes = ((("page_type", "url"), True),)


class DriftCase(Table):
    """A page type that is doubted: raised by one event, decided by probes, closed by a person."""

    id = AutoField()
    page_type = TextField()
    state = TextField(default="suspected")  # CASE_STATES
    opened_at = BigIntegerField()
    changed_at = BigIntegerField()
    event = ForeignKeyField(Event, null=True, on_delete="RESTRICT")  # who raised it; None: a page of no event
    run_id = BigIntegerField(null=True)
    field = TextField(null=True)
    reason = TextField()
    doubts = TextField()  # JSON: drift.Doubt, the first of them
    probes = TextField(default="[]")  # JSON: drift.ProbeResult
    verdict = TextField(null=True)  # what the probes said, in words
    closed_at = BigIntegerField(null=True)
    closed_by = TextField(null=True)
    closed_why = TextField(null=True)


class DriftCaseEvent(Table):
    """An event that a case is about, or that was refused because of it."""

    case = ForeignKeyField(DriftCase, backref="events", index=False, on_delete="RESTRICT")
    event = ForeignKeyField(Event, on_delete="RESTRICT")
    role = TextField()  # failed, refused
    at = BigIntegerField()
    run_id = BigIntegerField(null=True)
    released_at = BigIntegerField(null=True)  # when it was asked for again after the case was closed

    class Meta:
        primary_key = CompositeKey("case", "event")


class CanaryEvent(Table):
    """An event whose pages are fetched again regularly, only to see whether they still read equal."""

    event = ForeignKeyField(Event, primary_key=True, on_delete="RESTRICT")
    added_at = BigIntegerField()
    added_by = TextField()
    checked_at = BigIntegerField(null=True)
    passed = BooleanField(null=True)  # None: it could not be fetched
    result = TextField(null=True)  # JSON: drift.CanaryResult
