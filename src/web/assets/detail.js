// What one step, message, approval or run says.

import { api } from './api.js';
import { dot, fault, fill, h, says, shown, title } from './dom.js';
import { ago, full, ms, usd, when } from './format.js';
import { payload } from './text.js';
import { runLink } from './url.js';

/** A run in a line. @param {Near} n @param {string} [href] */
export const near = (n, href = runLink(n.run_id)) =>
	h(
		'div.near',
		dot(n.status),
		h('a.cut', { href }, says(n.name || n.agent_id || n.run_id)),
		h('span.dim.cut', says(n.agent_id, 60)),
		h('span.dim.num', `${ms(n.duration_ms)} · ${ago(n.started_at)}`),
	);

/** Names and values in a line; what has no value is left out. @param {[string, Kid][]} list */
export const facts = list =>
	h(
		'div.facts',
		list.filter(([, v]) => v && v !== '–').map(([name, v]) => h('span', name, ' ', h('b', v))),
	);

/** @param {string[]} flags */
export const chips = flags => flags.map(f => h('span.chip.flat.warn', f.replace(/_/g, ' ')));

/** @param {string} run its id */
export function detail(run) {
	const el = h('div.right', { role: 'region', 'aria-label': 'Details', tabindex: 0 });
	/** @type {RunAnswer} */
	let answer;
	let abort = new AbortController();
	let timer, sql, key;
	let open = [];
	const clear = () => {
		for (const p of open) p.close();
		open = [];
	};

	/** @param {Row} r @param {PayloadAnswer | null} got @param {string} query @param {string} find */
	function draw(r, got, query, find) {
		clear();
		const t = r.tokens;
		const { info, fields } = got ?? /** @type {PayloadAnswer} */ ({ info: {}, fields: {} });
		const error = info.error ?? r.error;
		const parts = Object.entries(fields).map(([name, field]) => {
			if (!field?.text) return null;
			const p = payload(title(name.replace(/_/g, ' ')), field, {
				more: async offset => (await api(`${query}&field=${name}&offset=${offset}`)).fields[name],
			});
			if (find) p.find(find);
			open.push(p);
			return p.el;
		});
		fill(
			el,
			h(
				'header.head',
				h(
					'div.title',
					r.status && dot(r.status),
					h('h2.cut', says(r.name || r.kind, 200)),
					h('span.kind', says(r.kind, 40)),
					r.item === 'child' && h('a.button', { href: runLink(r.id) }, 'Open run'),
				),
				facts([
					['', r.status],
					['took', ms(r.duration)],
					['at', ms(r.offset)],
					['model', r.model && says(r.model)],
					['in', t && full(t.input)],
					['cached', t?.cached && full(t.cached)],
					['out', t && full(t.output)],
					['reasoning', t?.reasoning && full(t.reasoning)],
					['cost', t && usd(t.cost)],
					['ended', when(/** @type {string} */ (info.ended_at))],
					['decided by', info.decided_by && says(info.decided_by)],
					['value', info.value != null && says(info.value)],
					['source', info.source && says(info.source)],
				]),
				chips(r.flags),
			),
			error && !fields.error && h('p.note.bad', h('bdi', shown(error))),
			parts,
			got && !open.length && h('p.empty', 'No input or output was recorded.'),
			r.item === 'run' && [
				answer.servers_away?.[0] && h('p.note.warn', 'A server is away.'),
				Object.entries({
					'Started by': answer.parent ? [answer.parent] : [],
					'Started these runs': answer.children,
					'In the same session': answer.siblings,
				}).map(
					([name, list]) =>
						list[0] &&
						h(
							'section.payload',
							h('h3', name),
							list.map(n => near(n)),
						),
				),
			],
		);
		el.scrollTop = 0;
	}
	return {
		el,
		about(now) {
			answer = now;
		},
		sql: () => sql,
		/** @param {Row} r @param {string} find */
		show(r, find) {
			// A step is read again when something of it changed.
			const now = [r.item, r.id, r.status, r.duration, r.in, r.out, r.error].join();
			if (now === key) return;
			key = now;
			clearTimeout(timer);
			abort.abort();
			const { signal } = (abort = new AbortController());
			timer = setTimeout(async () => {
				const query = `/api/runs/${run}/payload?item=${r.item}&id=${r.id}`;
				try {
					const got = r.item === 'child' ? null : await api(query, { signal });
					sql = got?.sql;
					draw(r, got, query, find);
				} catch (e) {
					if (signal.aborted) return;
					key = '';
					clear();
					fill(el, fault(e));
				}
			}, 60);
		},
		close() {
			clearTimeout(timer);
			abort.abort();
			clear();
		},
	};
}
