// The rows of a run: from the columns that the daemon sends to a tree, and what changes in it.

/** An id as the columns have it: 22 characters of base64url. @param {string} id */
export const short = id =>
	id.length === 36
		? btoa(id.replace(/-/g, '').replace(/../g, x => String.fromCharCode(parseInt(x, 16))))
				.replace(/\+/g, '-')
				.replace(/\//g, '_')
				.slice(0, 22)
		: id;

/** @param {Row} r */
export const failed = r => r.status === 'failed' || r.status === 'rejected' || r.error != null;

/** The colour of a row. @param {Row} r */
export const hue = r =>
	r.item === 'approval'
		? 'wait'
		: failed(r)
			? 'failed'
			: /llm|chat|generat|embed/.test(r.kind)
				? 'llm'
				: /tool/.test(r.kind)
					? 'tool'
					: '';

/** @returns {Row} */
const row = (item, id, more) => ({
	item,
	id,
	parent: null,
	depth: 0,
	offset: 0,
	duration: null,
	kind: '',
	name: '',
	model: null,
	status: null,
	in: 0,
	out: 0,
	error: null,
	flags: [],
	tokens: null,
	kids: [],
	folded: false,
	...more,
});
/** @param {any[]} counts */
const tokens = ([input, output, cached, reasoning, cost]) => ({ input, output, cached, reasoning, cost });

/** The numbers of a column: an empty one is as the one before, `-` is none. @param {string} text @returns {(number | null)[]} */
export function column(text) {
	let last = /** @type {number | null} */ (null);
	if (!text) return [];
	return text.split(',').map(n => (n ? (last = n === '-' ? null : Number(n)) : last));
}
/** Sums of steps. @param {string} text */
function sums(text) {
	let sum = 0;
	return column(text).map(n => (n === null ? null : (sum += n)));
}

export class Rows {
	/** @type {Map<string, Row>} */
	byId = new Map();
	/** @type {Row[]} */
	all = [];
	/** Those in no folded row. @type {Row[]} */
	seen = [];
	from = 0;
	end = 0;

	/** @param {RunAnswer} answer @param {Rows} [old] whose folds stay */
	constructor({ rows: c, run, children, digests }, old) {
		this.began = Date.parse(run.started_at ?? run.first_event_at ?? '');
		/** The run itself is the first row. */
		this.root = row('run', short(run.run_id));
		this.byId.set(this.root.id, this.root);
		this.run(run);
		const [item, parent, duration, status, input, output] = [c.item, c.parent, c.duration, c.status, c.in, c.out].map(column);
		const [kind, name, model] = [c.kind, c.name, c.model].map(text => column(text).map(i => (i === null ? '' : c.strings[i])));
		const offset = sums(c.offset);
		const ids = item.map((_, i) => c.ids.slice(22 * i, 22 * i + 22));
		const rows = item.map((of, i) =>
			row(c.items[of ?? -1], ids[i], {
				offset: offset[i],
				duration: duration[i],
				kind: kind[i],
				name: name[i],
				model: model[i],
				status: c.statuses[status[i] ?? -1] ?? null,
				in: input[i],
				out: output[i],
				digest: digests?.[ids[i]],
			}),
		);
		const counts = [c.tokens.in, c.tokens.out, c.tokens.cached, c.tokens.reasoning, c.tokens.cost].map(column);
		sums(c.tokens.row).forEach((i, n) => {
			rows[i ?? 0].tokens = tokens(counts.map(of => of[n]));
		});
		for (const [i, error] of c.errors) rows[i].error = error;
		for (const [i, flags] of c.flags) rows[i].flags = flags;
		rows.forEach((r, i) => this.place(r, rows[parent[i] ?? -1]));
		this.children(children);
		for (const [id, r] of this.byId) r.folded = old?.byId.get(id)?.folded ?? false;
		this.flat();
	}

	/** @param {Near[]} children */
	children(children) {
		for (const { run_id, started_at, duration_ms, name, agent_id, status } of children) {
			// A run that this one started stands below the handoff in whose time it began.
			const offset = Date.parse(started_at ?? '') - this.began || 0;
			this.take(this.byId.get(run_id));
			this.place(
				row('child', run_id, { offset, duration: duration_ms, kind: '⇢ run', name: name ?? agent_id, status }),
				[...this.byId.values()].findLast(
					r => r.kind === 'handoff' && r.offset <= offset + 5 && offset <= r.offset + (r.duration ?? Infinity),
				),
			);
		}
	}

	/** The row of an id in either form; that of a child is the run's. @param {string} id */
	find(id) {
		return this.byId.get(short(id)) ?? this.byId.get(id);
	}

	/** @param {Row} [r] */
	take(r) {
		r?.parent?.kids.splice(r.parent.kids.indexOf(r), 1);
	}

	/** Puts a row below its parent, in order of time. @param {Row} r @param {Row} [parent] */
	place(r, parent = this.root) {
		this.byId.set(r.id, r);
		r.parent = parent;
		let at = parent.kids.length;
		while (at && parent.kids[at - 1].offset > r.offset) at--;
		parent.kids.splice(at, 0, r);
	}

	/** @param {RunRow} r */
	run(r) {
		Object.assign(this.root, {
			duration: r.duration_ms,
			kind: 'run',
			name: r.name || r.agent_id || r.run_id,
			status: r.status,
			error: r.error,
			tokens: tokens([r.tokens_input, r.tokens_output, r.tokens_cache_read, r.tokens_reasoning, r.cost_usd]),
		});
	}

	/** @param {RunChange} change */
	change(change) {
		this.run(change.run);
		for (const { id } of change.gone) {
			const r = this.byId.get(short(id));
			this.take(r);
			for (const kid of r?.kids ?? []) this.place(kid, r?.parent ?? undefined);
			this.byId.delete(short(id));
		}
		const told = change.rows.map(({ id, parent_id, ...rest }) => {
			const old = this.byId.get(short(id));
			this.take(old);
			const r = Object.assign(old ?? row(rest.item, short(id)), rest, {
				kind: rest.kind ?? '',
				name: rest.name ?? '',
				tokens: rest.tokens && tokens(rest.tokens),
			});
			this.byId.set(r.id, r);
			return { r, parent_id };
		});
		// Once all are there: a step may have begun before the one that holds it.
		for (const { r, parent_id } of told) this.place(r, parent_id ? this.byId.get(short(parent_id)) : undefined);
		this.children(change.children ?? []);
		this.flat();
	}

	/** Puts the rows in order. Without recursion: a tree may be as deep as it is long. */
	flat() {
		this.all = [];
		this.seen = [];
		/** @type {[Row, number, boolean][]} */
		const left = [[this.root, 0, true]];
		for (let next = left.pop(); next; next = left.pop()) {
			const [r, depth, visible] = next;
			r.depth = depth;
			this.all.push(r);
			if (visible) this.seen.push(r);
			this.from = Math.min(this.from, r.offset);
			this.end = Math.max(this.end, r.offset + (r.duration ?? 0));
			for (let i = r.kids.length - 1; i >= 0; i--) left.push([r.kids[i], depth + 1, visible && !r.folded]);
		}
	}

	/** Unfolds what a row is in. @param {Row} r */
	reveal(r) {
		for (let p = r.parent; p; p = p.parent) p.folded = false;
		this.flat();
	}
}
