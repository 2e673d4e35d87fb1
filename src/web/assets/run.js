// One run: timeline, conversation, raw.

import { api, events } from './api.js';
import { chips, detail, facts } from './detail.js';
import { $, a, button, dot, fault, fill, finder, h, keep, says, set, shown, title, toast } from './dom.js';
import { count, full, ms, percent, plural, usd, when } from './format.js';
import { failed, Rows, short } from './rows.js';
import { marked, seen } from './runs.js';
import { talk } from './talk.js';
import { payload } from './text.js';
import { tree } from './tree.js';
import { go, link, note, runLink } from './url.js';

const TABS = ['timeline', 'conversation', 'raw'];
// Of the raw events this much is shown; the file has all.
const RAW = 2_000_000;

/** @type {Opener} */
export function run(main, at) {
	const { id } = at;
	/** @type {RunAnswer} */
	let answer;
	/** @type {Rows} */
	let rows;
	/** @type {Row} */
	let selected;
	/** Rows that say what is searched. @type {Set<string>} */
	let hits = new Set();
	let stop = () => {};
	let raw, findSql, closed, again;
	const tab = () => at.params.get('tab') ?? TABS[0];
	const here = changes => link(`/runs/${id}`, changes, at.params);
	const file = { href: `/api/runs/${id}/export`, download: `run-${id}.jsonl` };

	const live = h('span.live', { role: 'status' });
	// What has the focus or a listener is made once: a live run is drawn each second.
	const name = h('div.title.grow');
	const about = h('div.said');
	const links = TABS.map(t => h('a', title(t)));
	const failures = button('plain', h('span.bad'), () => error(1), { title: 'Next error (e)' });
	const tally = h('span.dim', { 'aria-live': 'polite' });
	const input = finder(
		'Find in the run',
		{ find() {}, hop: by => input.value === at.params.get('find') && hop(by) },
		{
			'data-find': '',
			placeholder: 'Find in the run  ( / )',
			value: at.params.get('find') ?? '',
			onchange: () => {
				find();
				steps.focus();
			},
		},
	);
	const body = h('div.split');
	fill(
		main,
		h(
			'div.run',
			h(
				'header.head',
				h('div.title', name, live, h('a.button.mid', file, 'Export'), button('mid', 'Compare', () => compare())),
				about,
			),
			h('div.tabs', links, h('span.grow'), failures, tally, input),
			body,
		),
	);
	const side = detail(id);
	const words = talk(`/api/runs/${id}/conversation`);
	const open = r => {
		if (r.item === 'child') go(runLink(r.id, { in: at.params.get('in') }));
		else $('.right').focus();
	};
	const steps = tree(() => rows, {
		selected: () => selected,
		select,
		fold: r => fold([r], !r.folded),
		hits: () => hits,
		open,
	});

	function heads() {
		const { run: r, session, parent } = answer;
		document.title = `${shown(r.name ?? r.agent_id).slice(0, 80)} · runtraced`;
		keep(name, dot(r.status), h('h1.cut.grow', says(r.name || r.agent_id || id, 200)));
		keep(
			about,
			facts([
				['', r.status],
				['agent', says(r.agent_id)],
				['started', when(r.started_at ?? r.first_event_at)],
				['took', ms(r.duration_ms ?? r.running_ms)],
				['waited', r.waiting_ms && ms(r.waiting_ms)],
				['steps', full(r.steps)],
				[
					'tokens',
					(r.tokens_input || r.tokens_output) &&
						`${full(r.tokens_input)}${r.tokens_cache_read ? ` (${percent(r.tokens_cache_read / (r.tokens_input || 1))} cached)` : ''} → ${full(r.tokens_output)}`,
				],
				[
					'cost',
					[
						r.cost_usd != null && usd(r.cost_usd),
						r.unpriced_calls && `${plural(r.unpriced_calls, 'call')} without a price`,
					]
						.filter(Boolean)
						.join(' + '),
				],
				['reported', usd(r.cost_reported_usd)],
				[
					'customer',
					r.customer_id && a(link('/', { customer: r.customer_id }), says(r.customer_name ?? r.customer_id)),
				],
				['user', (r.user_id ?? r.user_name) && a(link('/', { user: r.user_id ?? r.user_name }), says(r.user_name ?? r.user_id, 40))],
				[
					'session',
					session &&
						a(`/sessions/${session.session_id}`, says(session.title ?? session.external_id ?? session.session_id, 60)),
				],
				['parent', parent && a(runLink(parent.run_id), says(parent.name ?? parent.agent_id, 60))],
			]),
			(r.tags.length > 0 || r.flags[0]) &&
				h(
					'div.facts',
					r.tags.map(t => h('a.chip.flat', { href: link('/', { tag: t }) }, says(t, 40))),
					chips(r.flags),
				),
			r.pending_approvals > 0 &&
				h(
					'p.note.warn',
					plural(r.pending_approvals, 'approval waits', 'approvals wait'),
					' for a person. ',
					a('/approvals', 'Decide'),
				),
			answer.rows.more && h('p.note.warn', `Only ${count(rows.all.length)} rows are shown.`),
			r.error && h('p.note.bad.cut', says(r.error, 300)),
		);
		const errors = rows.all.filter(x => failed(x) && x !== rows.root).length;
		TABS.forEach((t, i) =>
			set(links[i], { href: here({ tab: i ? t : null }), 'aria-current': String(t === tab()) }),
		);
		failures.hidden = !errors;
		fill(failures.firstChild, plural(errors, 'error'));
	}
	function draw(show) {
		heads();
		if (tab() !== TABS[0]) return;
		steps.refresh(show);
		side.show(selected, input.value);
	}

	/** @param {Row} r */
	function select(r) {
		selected = r;
		if (r === rows.root) at.params.delete('step');
		else at.params.set('step', r.id);
		note(here({}));
		steps.refresh(true);
		side.show(r, input.value);
	}
	const reach = r => {
		rows.reveal(r);
		select(r);
	};
	const fold = (list, folded) => {
		for (const r of list) r.folded = folded && !!r.kids[0];
		rows.flat();
		let now = selected;
		while (now.parent && !rows.seen.includes(now)) now = now.parent;
		select(now);
	};
	const move = by => {
		const r = rows.seen[rows.seen.indexOf(selected) + by];
		if (tab() === TABS[1]) words.move(by);
		else if (r) select(r);
	};
	/** To the next row that fits, around the end. */
	function jump(by, fits, none) {
		const list = rows.all;
		const from = list.indexOf(selected);
		for (let n = 1; n <= list.length; n++) {
			const r = list[(from + by * n + list.length) % list.length];
			if (fits(r)) return reach(r);
		}
		toast(none);
	}
	const error = by => jump(by, r => failed(r) && r !== rows.root, 'No step failed');
	const hop = by => (tab() === TABS[1] ? words.hop(by) : jump(by, r => hits.has(r.id), 'Not found'));

	/** Marks rows that say it by name at once; the daemon knows those whose payloads do. @param {boolean} [stay] */
	async function find(stay) {
		const q = input.value.trim();
		at.params.set('find', q);
		if (!q) at.params.delete('find');
		note(here({}));
		const says = text => text?.toLowerCase().includes(q.toLowerCase());
		hits = new Set(rows.all.filter(r => q && (says(r.name) || says(r.error))).map(r => r.id));
		if (tab() === TABS[1]) words.find(q);
		fill(tally);
		if (q) {
			try {
				const got = await api(`/api/runs/${id}/find?q=${encodeURIComponent(q)}`);
				findSql = got.sql;
				for (const hit of got.hits) hits.add(short(hit.id));
				fill(tally, hits.size ? `${hits.size}${got.more ? '+' : ''} found  n N` : 'not found');
			} catch (e) {
				fill(tally, e.message);
			}
			if (!stay && hits.size && tab() === TABS[0]) return hop(1);
		}
		if (tab() === TABS[0]) steps.refresh();
	}

	function show() {
		const t = tab();
		fill(body, t === TABS[0] ? [steps.el, side.el] : t === TABS[1] ? words.el : h('p.empty', 'Loading …'));
		draw(true);
		if (t === TABS[0]) steps.focus();
		else if (t === TABS[1]) words.load().then(() => input.value && words.find(input.value));
		else rawEvents();
	}
	async function rawEvents() {
		try {
			const answer = await fetch(file.href);
			if (!answer.ok) throw new Error(`The daemon answered ${answer.status}.`);
			const reader = /** @type {ReadableStream<Uint8Array>} */ (answer.body).getReader();
			const decoder = new TextDecoder();
			let text = '';
			let part;
			while (text.length < RAW && !(part = await reader.read()).done)
				text += decoder.decode(part.value, { stream: true });
			reader.cancel();
			raw?.close();
			raw = payload('Events', { text, chars: text.length, next: null, json: true }, { tall: true });
			if (tab() === TABS[2])
				fill(
					body,
					h(
						'div.left.raw',
						h('h2.offstage', 'Raw'),
						h(
							'p.note',
							text.length < RAW ? 'All events of the run, as ' : 'The first events of the run, as ',
							h('code', 'runtraced send'),
							' takes them. ',
							h('a', file, 'Download them all'),
						),
						raw.el,
					),
				);
		} catch (e) {
			fill(body, fault(e));
		}
	}

	/** @param {RunAnswer} got */
	function take(got) {
		const key = selected?.id ?? at.params.get('step') ?? '';
		answer = { ...got, sql: got.sql ?? answer?.sql };
		rows = new Rows(answer, rows);
		selected = rows.find(key) ?? rows.root;
		side.about(answer);
	}
	async function load() {
		try {
			take(await api(`/api/runs/${id}`));
		} catch (e) {
			return fill(main, fault(e));
		}
		if (closed) return;
		rows.reveal(selected);
		show();
		if (input.value) find(true);
		// What ended long ago does not change.
		if (answer.run.status !== 'running' && Date.now() - Date.parse(answer.run.last_event_at ?? '') > 60_000) return;
		stop = events(
			`/api/runs/${id}/events`,
			{
				snapshot(got) {
					take(got);
					draw();
				},
				change(c) {
					const { run, rows: _, gone, ...around } = c;
					Object.assign(answer, around, { run: { ...answer.run, ...run } });
					rows.change(c);
					side.about(answer);
					if (!rows.byId.has(selected.id)) selected = rows.root;
					draw();
					clearTimeout(again);
					if (tab() === TABS[1] && c.rows.some(r => r.item === 'message')) again = setTimeout(() => words.load(), 300);
				},
			},
			s => fill(live, s && [dot(s === 'Live' ? 'completed' : 'pending'), s]),
		);
	}
	load();
	// What runs grows to the right.
	const clock = setInterval(() => {
		if (rows?.root.status === 'running') {
			answer.run.running_ms = Date.now() - rows.began;
			draw();
		}
	}, 1000);

	/** The run beside this one in the list that it was opened from. */
	async function beside(by) {
		const query = at.params.get('in') ?? '';
		if (seen.query !== query || !seen.ids.includes(id)) {
			const got = await api(link('/api/runs', { limit: 200 }, new URLSearchParams(query)));
			Object.assign(seen, { query, ids: got.rows.map(r => r.run_id), next: got.next });
		}
		const i = seen.ids.indexOf(id) + by;
		if (i === seen.ids.length && seen.next) {
			const got = await api(link('/api/runs', { cursor: seen.next }, new URLSearchParams(query)));
			seen.ids.push(...got.rows.map(r => r.run_id));
			seen.next = got.next;
		}
		if (seen.ids[i]) go(runLink(seen.ids[i], { in: query, tab: at.params.get('tab') }));
		else toast(`This is the ${by > 0 ? 'last' : 'first'} run of the list`);
	}
	const compare = () => {
		marked.add(id);
		go(link('/', { agent: answer.run.agent_id }));
	};
	const to = n => go(here({ tab: n ? TABS[n] : null }));
	const inTree = act => e => e.target.role === 'tree' && act();
	return {
		sql: () =>
			Object.fromEntries(
				[
					['The run', answer?.sql],
					['The selected row', side.sql()],
					['The conversation', words.sql()],
					['The search', findSql],
				].filter(([, text]) => text),
			),
		keys: {
			j: () => move(1),
			k: () => move(-1),
			J: () => beside(1),
			K: () => beside(-1),
			e: () => error(1),
			E: () => error(-1),
			n: () => hop(1),
			N: () => hop(-1),
			'[': () => fold([selected.kids.length && !selected.folded ? selected : (selected.parent ?? selected)], true),
			']': () => fold([selected], false),
			// The first row is the run itself.
			'{': () => fold(rows.all.slice(1), true),
			'}': () => fold(rows.all, false),
			ArrowDown: inTree(() => move(1)),
			ArrowUp: inTree(() => move(-1)),
			ArrowLeft: inTree(() => fold([selected], true)),
			ArrowRight: inTree(() => fold([selected], false)),
			Enter: () => open(selected),
			1: () => to(0),
			2: () => to(1),
			3: () => to(2),
			c: compare,
			u: () => go(answer.parent ? runLink(answer.parent.run_id) : `/?${at.params.get('in') ?? ''}`),
		},
		follow(now) {
			const old = tab();
			at = now;
			if (!rows) return true;
			const r = rows.find(now.params.get('step') ?? '') ?? rows.root;
			if (tab() !== old) show();
			else if (r !== selected) reach(r);
			return true;
		},
		close() {
			closed = true;
			stop();
			clearInterval(clock);
			clearTimeout(again);
			side.close();
			steps.close();
			words.close();
			raw?.close();
		},
	};
}
