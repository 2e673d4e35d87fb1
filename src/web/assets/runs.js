// The list of runs: live, filtered, sorted, paged. The address holds all of it.

import { api, events } from './api.js';
import { $, a, button, dot, fault, fill, h, says } from './dom.js';
import { filterBar } from './filters.js';
import { ago, count, full, ms, plural, usd, when } from './format.js';
import { go, link, runLink } from './url.js';

const SORTS = {
	started: r => (r.started_at ? Date.parse(r.started_at) : Infinity),
	duration: r => r.duration_ms,
	tokens: r => r.tokens_input + r.tokens_output,
	cost: r => r.cost_usd,
};
/** Statuses after which the same request may succeed: no answer, too much at once, no database. */
const LATER = [0, 429, 503];
const began = r => r.started_at ?? r.first_event_at;
const took = r => ms(r.duration_ms ?? (r.running_ms == null ? null : r.running_ms + performance.now() - r.got));
/** Class, title, how to sort by it, and what a cell says. @type {[string, string, string, (r: any) => Kid][]} */
const COLUMNS = [
	['mid', 'Agent', '', r => says(r.agent_id)],
	['wide.dim', 'Model', '', r => says(r.models.join(', '))],
	[
		'num.mid.dim',
		'Started',
		'started',
		r => h('span', { title: when(began(r)), ontick: e => fill(e.target, ago(began(r))) }, ago(began(r))),
	],
	[
		'num',
		'Duration',
		'duration',
		r =>
			h(
				'span',
				{ title: r.waiting_ms > 0 && `${ms(r.waiting_ms)} of it waiting`, ontick: e => fill(e.target, took(r)) },
				took(r),
			),
	],
	[
		'num.wide',
		'Steps',
		'',
		r =>
			h(
				`span.${r.failed_steps ? 'bad' : ''}`,
				{ title: r.failed_steps > 0 && plural(r.failed_steps, 'failed step') },
				count(r.steps),
			),
	],
	[
		'num.wide',
		'Tokens',
		'tokens',
		r =>
			h(
				'span',
				{
					title: `${full(r.tokens_input)} in, ${full(r.tokens_cache_read)} of it cached, ${full(r.tokens_output)} out`,
				},
				r.tokens_input || r.tokens_output ? `${count(r.tokens_input)} → ${count(r.tokens_output)}` : '–',
			),
	],
	[
		'num',
		'Cost',
		'cost',
		r =>
			h(
				'span',
				{ title: r.unpriced_calls > 0 && `${r.unpriced_calls} without a price` },
				usd(r.cost_usd),
				r.unpriced_calls > 0 && r.cost_usd != null && '+',
			),
	],
];

/** Runs that are marked to be compared. @type {Set<string>} */
export const marked = new Set();

/** The list as it was seen last, for the keys J and K of a run. @type {{query: string, ids: string[], next: string | null}} */
export const seen = { query: '', ids: [], next: null };

/** @type {Opener} */
export function runs(main, at) {
	/** @type {Map<string, {r: RunRow, el: any}>} */
	const rows = new Map();
	let sql = '';
	let stop = () => {};
	let abort = new AbortController();
	let again;
	const bar = filterBar(at);
	const [say, head, body, foot, pair] = ['div', 'thead', 'tbody', 'div.bar', 'div.bar'].map(s => h(s));
	fill(main, h('h1.offstage', 'Runs'), bar.el, say, h('table.runs', { 'aria-label': 'Runs' }, head, body), foot, pair);

	const sort = () => at.params.get('sort') ?? 'started';
	const up = () => at.params.get('order') === 'asc';
	const within = () => link('', { cursor: null }, at.params).slice(1);
	const here = changes => link('/', changes, at.params);
	const address = r => runLink(r.run_id, { in: within() });
	const heads = () =>
		fill(
			head,
			h(
				'tr',
				h('th.pick', h('span.offstage', 'Mark')),
				h('th', 'Run'),
				COLUMNS.map(([cls, name, by]) => {
					const on = by === sort();
					return h(
						`th.${cls}`,
						{ 'aria-sort': on && (up() ? 'ascending' : 'descending') },
						by
							? button('by', [name, on && (up() ? ' ↑' : ' ↓')], () =>
									go(here({ sort: by, order: on && !up() ? 'asc' : null, cursor: null })),
								)
							: name,
					);
				}),
			),
		);
	const line = r =>
		h(
			'tr',
			{
				'data-id': r.run_id,
				onclick: e => {
					if (!e.target.closest('a, input, .pick') && !String(getSelection())) go(address(r));
				},
			},
			h(
				'td.pick',
				h('input', {
					type: 'checkbox',
					'aria-label': `Mark ${r.name ?? r.run_id}`,
					checked: marked.has(r.run_id),
					onchange: () => mark(r.run_id),
				}),
			),
			h(
				'td',
				h(
					'div.what',
					dot(r.status),
					h('a.cut', { href: address(r) }, says(r.name || r.input || r.agent_id, 160)),
					r.pending_approvals > 0 && h('a.badge', { href: '/approvals' }, 'waits'),
					h(`span.cut.grow.mid.${r.error ? 'bad' : 'dim'}`, says(r.error ?? r.output ?? r.input)),
					h('span.under.cut.dim', says(r.agent_id, 60), ` · ${ago(began(r))} `, h('span.bad', says(r.error))),
				),
			),
			COLUMNS.map(([cls, , , cell]) => h(`td.${cls}`, cell(r))),
		);

	/** So that a row that arrives finds its place. */
	function order({ r: p }, { r: q }) {
		const [x, y] = [p, q].map(SORTS[sort()] ?? SORTS.started);
		if (x === y) return p.run_id < q.run_id ? 1 : -1;
		if (x == null || y == null) return x == null ? 1 : -1;
		return x < y === up() ? -1 : 1;
	}
	const drop = id => {
		rows.get(id)?.el.remove();
		rows.delete(id);
	};

	/** @param {RunRow[]} more @param {boolean} [fresh] they arrived while the list was open */
	function merge(more, fresh) {
		for (const r of more) {
			const old = rows.get(r.run_id)?.el;
			// A row keeps the focus when it changes.
			const focus = old?.contains(document.activeElement) && document.activeElement?.tagName;
			const el = line({ ...r, got: performance.now() });
			if (fresh && !old) el.classList.add('new');
			old?.replaceWith(el);
			rows.set(r.run_id, { r, el });
			if (focus) $(focus, el)?.focus();
		}
		const list = [...rows.values()].sort(order);
		for (const { r } of list.splice(Number(at.params.get('limit')) || 50)) drop(r.run_id);
		list.forEach(({ el }, i) => {
			if (body.children[i] !== el) body.insertBefore(el, body.children[i]);
		});
		Object.assign(seen, { query: within(), ids: list.map(({ r }) => r.run_id) });
		if (list.length) $('.empty', say)?.remove();
		// Where only a part was searched, that is said instead.
		else if (!$('.note', say))
			fill(
				say,
				h(
					'p.empty',
					within()
						? ['No run matches the filter. ', a('/', 'Show all')]
						: ['No runs yet. Start your agent with', h('code', `OTEL_EXPORTER_OTLP_ENDPOINT=${location.origin}`)],
				),
			);
	}
	const state = s => fill(bar.live, dot(s === 'Live' ? 'completed' : 'pending'), s);

	async function load() {
		stop();
		abort.abort();
		clearTimeout(again);
		const { signal } = (abort = new AbortController());
		heads();
		state('Loading …');
		try {
			const got = await api(`/api/runs?${at.params}`, { signal });
			sql = got.sql;
			const next = got.next && here({ cursor: got.next });
			fill(
				say,
				got.searched_back_to &&
					h('p.note', `Searched back to ${when(got.searched_back_to)}. `, next && a(next, 'Search further back')),
			);
			for (const id of rows.keys()) drop(id);
			seen.next = got.next;
			merge(got.rows);
			const paged = at.params.has('cursor');
			fill(
				foot,
				paged && h('a.button', { href: here({ cursor: null }) }, 'First page'),
				next && h('a.button', { href: next, rel: 'next' }, 'Next page'),
				h('span.dim', plural(got.rows.length, 'run')),
			);
			if (paged) return state('Not live: a later page');
			stop = events(
				`/api/runs/events?${at.params}`,
				{
					snapshot(d) {
						const now = new Set(d.rows.map(r => r.run_id));
						for (const id of rows.keys()) if (!now.has(id)) drop(id);
						merge(d.rows, true);
					},
					change(d) {
						d.gone.forEach(drop);
						merge(d.rows, true);
					},
				},
				state,
			);
		} catch (e) {
			if (signal.aborted) return;
			state('Not live');
			if ($('.note', say)?.textContent !== e.message) fill(say, fault(e));
			// The daemon or its database may come back.
			if (LATER.includes(e.status)) again = setTimeout(load, 5000);
		}
	}

	const compare = () => {
		const [p, q] = [...marked].slice(-2);
		return q && link('/compare', { a: p, b: q });
	};
	function mark(id) {
		if (!marked.delete(id)) marked.add(id);
		pairs();
	}
	function pairs() {
		for (const { r, el } of rows.values()) $('input', el).checked = marked.has(r.run_id);
		pair.hidden = !marked.size;
		fill(
			pair,
			plural(marked.size, 'run'),
			' marked. ',
			compare() ? h('a.button', { href: compare() }, 'Compare the last two') : 'Mark another to compare the two.',
			button('clear', 'Clear', () => {
				marked.clear();
				pairs();
			}),
		);
	}

	// Ages, and durations of what runs, go on between two changes.
	const clock = setInterval(() => {
		for (const el of body.querySelectorAll('td > span')) el.dispatchEvent(new Event('tick'));
	}, 1000);
	const all = () => [...body.children];
	const focused = () => all().findIndex(tr => tr.contains(document.activeElement));
	/** To the next row that fits. */
	const move = (by, fits = tr => tr) => {
		const list = all();
		let i = focused() + by;
		while (list[i] && !fits(list[i])) i += by;
		$('.what a', list[i] ?? body)?.[list[i] ? 'focus' : 'blur']();
	};
	const failure = tr => $('.dot.failed', tr);
	load();
	pairs();
	return {
		sql: () => ({ Runs: sql }),
		keys: {
			j: () => move(1),
			k: () => move(-1),
			J: () => move(1),
			K: () => move(-1),
			e: () => move(1, failure),
			E: () => move(-1, failure),
			'[': () => at.params.has('cursor') && history.back(),
			']': () => $('a[rel=next]')?.click(),
			x: () => {
				const id = all()[focused()]?.dataset.id;
				if (id) mark(id);
			},
			c: () => {
				if (compare()) go(compare());
			},
		},
		follow(now) {
			at = now;
			bar.follow(now);
			load();
			return true;
		},
		close() {
			stop();
			abort.abort();
			clearTimeout(again);
			clearInterval(clock);
		},
	};
}
