// Types of the page: what the API answers, and what the modules pass to each other. Never served.

type Status = 'running' | 'completed' | 'failed';

interface Near {
	run_id: string;
	agent_id: string | null;
	name: string | null;
	status: Status;
	started_at: string | null;
	duration_ms: number | null;
}

interface RunRow extends Near {
	customer_name?: string | null;
	session_id: string | null;
	parent_run_id: string | null;
	agent_type: string | null;
	customer_id: string | null;
	user_id: string | null;
	user_name: string | null;
	finalized_by: string | null;
	ended_at: string | null;
	first_event_at: string | null;
	last_event_at: string | null;
	running_ms: number | null;
	waiting_ms: number | null;
	tokens_input: number | null;
	tokens_output: number | null;
	tokens_cache_read: number | null;
	tokens_cache_write: number | null;
	tokens_reasoning: number | null;
	cost_usd: number | null;
	cost_reported_usd: number | null;
	unpriced_calls: number;
	steps: number;
	open_steps: number;
	failed_steps: number;
	llm_calls: number;
	tool_calls: number;
	messages: number;
	approvals: number;
	pending_approvals: number;
	error: string | null;
	input: string | null;
	output: string | null;
	models: string[];
	tags: string[];
	flags: string[];
}
interface RunHead extends RunRow {
	metadata: unknown;
	input_chars: number;
	output_chars: number;
}
interface Session {
	session_id: string;
	title: string | null;
	user_id: string | null;
	customer_id: string | null;
	external_id: string | null;
}

/** The rows of a run in columns. */
interface Columns {
	count: number;
	/** The run has more rows than these. */
	more: boolean;
	ids: string;
	item: string;
	parent: string;
	offset: string;
	duration: string;
	kind: string;
	name: string;
	model: string;
	status: string;
	in: string;
	out: string;
	tokens: { row: string; in: string; out: string; cached: string; reasoning: string; cost: string };
	errors: [number, string][];
	flags: [number, string[]][];
	items: string[];
	statuses: string[];
	strings: string[];
}
interface RunAnswer {
	run: RunHead;
	session: Session | null;
	parent: Near | null;
	children: Near[];
	siblings: Near[];
	/** Servers of the store that did not answer, from 1. */
	servers_away?: number[];
	rows: Columns;
	/** By id, a hash of input and output of each step, if it was asked for. */
	digests?: Record<string, string>;
	sql: string;
}
interface ChangedRow {
	item: string;
	id: string;
	parent_id: string | null;
	offset: number;
	duration: number | null;
	kind: string | null;
	name: string | null;
	model: string | null;
	status: string | null;
	in: number;
	out: number;
	error: string | null;
	flags: string[];
	tokens: (number | null)[] | null;
}
interface RunChange {
	run: RunRow;
	rows: ChangedRow[];
	gone: { item: string; id: string }[];
	/** These only if they changed. */
	session?: Session | null;
	parent?: Near | null;
	children?: Near[];
	siblings?: Near[];
	servers_away?: number[];
}

/** One row of a run, as the page keeps it. */
interface Row {
	item: string;
	id: string;
	parent: Row | null;
	depth: number;
	offset: number;
	duration: number | null;
	kind: string;
	name: string;
	model: string | null;
	status: string | null;
	in: number;
	out: number;
	error: string | null;
	flags: string[];
	tokens: {
		input: number | null;
		output: number | null;
		cached: number | null;
		reasoning: number | null;
		cost: number | null;
	} | null;
	kids: Row[];
	folded: boolean;
	digest?: string;
}

interface Field {
	text: string;
	chars: number;
	/** Where the rest begins, in the unit of `offset`; null: this is all. */
	next: number | null;
	json: boolean;
}
interface PayloadAnswer {
	item: string;
	id: string;
	fields: Record<string, Field | null>;
	info: Record<string, unknown>;
	sql: string;
}

interface Message {
	id: string;
	run_id: string | null;
	step_id: string | null;
	role: string | null;
	at: string | null;
	seq: number | null;
	content: string | null;
	content_chars: number;
	content_cut: boolean;
	thinking: string | null;
	thinking_chars: number;
	thinking_cut: boolean;
	tool_calls: string | null;
	tool_calls_chars: number;
	tool_calls_cut: boolean;
}
interface ConversationAnswer {
	rows: Message[];
	next: string | null;
	sql: string;
	session?: Session;
	runs?: Near[];
}

interface Approval {
	id: string;
	run_id: string | null;
	session_id: string | null;
	step_id: string | null;
	action_type: string;
	action_description: string | null;
	action_data: string | null;
	action_data_chars: number;
	/** Where the rest begins; null: this is all. */
	action_data_next: number | null;
	revision: string;
	status: 'pending' | 'approved' | 'rejected' | 'expired';
	created_at: string | null;
	expires_at: string | null;
	decided_at: string | null;
	decided_by: string | null;
	decided_by_name: string | null;
	decided_by_key_id: string | null;
	notes: string | null;
	agent_id: string | null;
	run_name: string | null;
	customer_id: string | null;
	overdue: boolean;
}

interface Sum {
	runs: number;
	failed: number;
	running: number;
	p50_ms: number | null;
	p95_ms: number | null;
	p99_ms: number | null;
	wait_p50_ms?: number | null;
	wait_p95_ms?: number | null;
	wait_p99_ms?: number | null;
	tokens_input: number | null;
	tokens_output: number | null;
	tokens_cache_read?: number | null;
	cost_usd: number | null;
	unpriced_calls: number;
	waiting_ms: number | null;
}
interface Point extends Sum {
	at: string;
}
interface Stats {
	since: string;
	until: string;
	bucket_s: number;
	counted_back_to: string | null;
	totals: Sum;
	series: Point[];
	agents: (Sum & { agent_id: string | null })[];
	models: {
		model: string | null;
		calls: number;
		tokens_input: number | null;
		tokens_output: number | null;
		tokens_cache_read: number | null;
		cost_usd: number | null;
		unpriced_calls: number;
	}[];
	tools: {
		name: string | null;
		calls: number;
		failed: number;
		p50_ms: number | null;
		p95_ms: number | null;
		total_ms: number | null;
	}[];
	errors: { error: string; runs: number; last_at: string; last_run_id: string }[];
	more: Record<string, boolean>;
	sql: Record<string, string>;
}
interface CostSums {
	runs: number;
	calls: number;
	tokens_input: number | null;
	tokens_output: number | null;
	tokens_cache_read: number | null;
	cost_usd: number | null;
	cost_reported_usd: number | null;
	unpriced_calls: number;
}
interface CostRow extends CostSums {
	key: string | null;
	name: string | null;
}
interface CostAnswer {
	counted_back_to: string | null;
	totals: CostSums;
	rows: CostRow[];
	more: { rows: boolean; unpriced: boolean };
	unpriced: { model: string; calls: number; last_at: string | null }[];
	sql: string;
}
interface Me {
	reader: string;
	name: string | null;
	customer_id: string | null;
	user_id: string | null;
	may: { read: boolean; decide: boolean };
	login: 'none' | 'needed' | 'key' | 'token';
	/** Sets the role and claims under which the queries of this reader run. */
	sql_as: string | null;
	version: string;
}
interface Facets {
	agents: string[];
	models: string[];
	tools: string[];
	customers: { id: string; name: string | null }[];
	tags: string[];
	sql: string;
}

// ---- between modules ----

type Kid = Node | string | number | null | undefined | false | Kid[];
type Props = Record<string, string | number | boolean | null | undefined | ((e: any) => void)>;
/** One key or the name of a key, and what it does; false: not for me, go on. */
type Keys = Record<string, (e: KeyboardEvent) => unknown>;

interface View {
	/** What the SQL button shows: titles and queries. */
	sql(): Record<string, string>;
	keys?: Keys;
	/** The address changed within the screen: true if it could follow without a new start. */
	follow?(route: Route): boolean;
	close?(): void;
}
interface Route {
	path: string;
	id: string;
	params: URLSearchParams;
}
type Opener = (main: HTMLElement, route: Route) => View;

interface VirtualOptions {
	height: number;
	label: string;
	class: string;
	role?: string;
	row(i: number): HTMLElement;
	/** What a key does while the list has the focus; false: not for it. */
	key?(e: KeyboardEvent): unknown;
	resized?(): void;
}
interface Virtual {
	el: HTMLElement;
	set(n: number): void;
	choose(id: string): void;
	show(i: number, middle?: boolean): void;
	close(): void;
}

/** A row of a text. `more`: how many rows after it fold with it. */
interface Line {
	kind: string;
	text: string;
	depth: number;
	key: string;
	more: number;
	folded?: boolean;
	href?: string | null;
}
