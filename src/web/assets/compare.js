// Two runs side by side: steps aligned by kind and name, and what differs.

import { align } from './align.js';
import { api } from './api.js';
import { table } from './chart.js';
import { fault, fill, h, says, shown, title } from './dom.js';
import { count, ms } from './format.js';
import { failed, Rows } from './rows.js';
import { jsonLines } from './text.js';
import { go, runLink } from './url.js';
import { virtual } from './virtual.js';

// Of each text this many lines are compared.
const LINES = 2000;
const tokens = r => (r.tokens?.input ?? 0) + (r.tokens?.output ?? 0);
const slower = (x, y) => Math.abs(x - y) > Math.max(50, x / 4);

/** Digests of the input and the output, or their sizes. Values that are the same may be stored in other sizes. @param {Row} r */
const contents = r => r.digest?.split(' ') ?? [r.in, r.out];

/** What differs between two steps that belong together. @param {Row} a @param {Row} b */
const differ = (a, b) =>
	[
		a.status !== b.status && 'status',
		a.model !== b.model && 'model',
		contents(a)[0] !== contents(b)[0] && 'input',
		contents(a)[1] !== contents(b)[1] && 'output',
		tokens(a) !== tokens(b) && 'tokens',
		slower(a.duration ?? 0, b.duration ?? 0) && 'duration',
	]
		.filter(Boolean)
		.join(', ');

/** @type {Opener} */
export function compare(main, at) {
	const ids = ['a', 'b'].map(x => at.params.get(x) ?? '');
	const sql = {};
	/** @type {{a: Row | null, b: Row | null, what: string}[]} */
	let pairs = [];
	let chosen = -1;
	let abort = new AbortController();
	const list = virtual({ height: 26, label: 'Steps of both runs', role: 'listbox', class: 'pairs', row: draw });
	const difference = h(
		'div.difference',
		{ tabindex: 0, role: 'region', 'aria-label': 'What differs' },
		h('p.empty', 'Select a step to compare it.'),
	);

	function draw(i) {
		const { a, b, what } = pairs[i];
		const side = r =>
			h(
				`span.side.${r && failed(r) ? 'bad' : ''}`,
				r && [
					h('span.label.grow', { '--depth': Math.min(r.depth - 1, 8) }, says(r.name || r.kind)),
					h('span.kind.mid', says(r.kind, 30)),
					h('span.num.dim', ms(r.duration)),
					h('span.num.dim.wide', tokens(r) > 0 && count(tokens(r))),
				],
			);
		const [sign, hue] = !b ? ['−', 'bad'] : !a ? ['+', 'good'] : what ? ['≠', 'warn'] : ['=', 'dim'];
		return h(
			'div.two',
			{ id: `pair-${i}`, role: 'option', 'aria-selected': String(i === chosen), title: what, onclick: () => select(i) },
			side(a),
			h(`span.sign.${hue}`, sign, h('span.offstage', what)),
			side(b),
		);
	}
	const lines = field =>
		!field
			? []
			: field.json
				? jsonLines(field.text, 1e9).map(l => ' '.repeat(2 * l.depth) + (l.key && `${l.key}: `) + l.text)
				: field.text.split('\n');
	/** How two texts compare, of which only the beginnings may be here. */
	const verdict = (fields, texts, same) => {
		const cut = fields.some(field => field?.next != null) || texts.some(text => text.length > LINES);
		return same ? (cut ? 'the beginnings are the same' : 'the same') : cut && 'only the beginnings are compared';
	};

	async function select(i) {
		if (!pairs[i]) return;
		chosen = i;
		list.set(pairs.length);
		list.show(i, true);
		list.choose(`pair-${i}`);
		abort.abort();
		const { signal } = (abort = new AbortController());
		try {
			const both = await Promise.all(
				[pairs[i].a, pairs[i].b].map(
					(r, n) => r && api(`/api/runs/${ids[n]}/payload?item=step&id=${r.id}`, { signal }),
				),
			);
			fill(
				difference,
				pairs[i].what && h('p.note', `Different: ${pairs[i].what}`),
				['input', 'output'].map(name => {
					const fields = both.map(got => got?.fields[name]);
					const texts = fields.map(lines);
					const rows = align(texts[0].slice(0, LINES), texts[1].slice(0, LINES));
					const same = rows.every(pair => Math.min(...pair) >= 0);
					const column = n =>
						h(
							'pre',
							{ dir: 'auto' },
							rows.map(pair =>
								h(
									`div.${pair[n] < 0 || pair[1 - n] >= 0 ? '' : n ? 'plus' : 'minus'}`,
									shown(texts[n][pair[n]]?.slice(0, 4000)) || '\u00a0',
								),
							),
						);
					return (
						rows[0] &&
						h(
							'section',
							h('div.bar', h('h3', title(name)), h('span.dim', verdict(fields, texts, same))),
							h('div.two', column(0), column(1)),
						)
					);
				}),
			);
		} catch (e) {
			if (!signal.aborted) fill(difference, fault(e));
		}
	}
	(async () => {
		try {
			const both = /** @type {RunAnswer[]} */ (await Promise.all(ids.map(id => api(`/api/runs/${id}?digests=1`))));
			both.forEach((got, n) => {
				sql[n ? 'The right run' : 'The left run'] = got.sql;
			});
			const steps = both.map(got => new Rows(got).all.filter(r => r.item === 'step'));
			const [p, q] = steps.map(rows => rows.map(r => `${r.kind}\0${r.name}`));
			pairs = align(p, q).map(([i, j]) => ({
				a: steps[0][i] ?? null,
				b: steps[1][j] ?? null,
				what: i >= 0 && j >= 0 ? differ(steps[0][i], steps[1][j]) : '',
			}));
			const [x, y] = both.map(({ run }) => run);
			const gap = { name: 'Difference' };
			for (const name in y)
				if (typeof x[name] === 'number' && typeof y[name] === 'number') gap[name] = y[name] - x[name];
			const tally = fits => count(pairs.filter(fits).length);
			fill(
				main,
				h(
					'div.run',
					h('h1.offstage', 'Two runs side by side'),
					table(
						'Two runs',
						[x, y, gap],
						'Run:run_id:/runs/|Agent:agent_id:|Status:status:|Duration:duration_ms:ms|Steps:steps:count|Tokens_in:tokens_input:count|Tokens_out:tokens_output:count|Cost:cost_usd:usd',
					),
					h(
						'div.tabs',
						h('h2', 'Steps'),
						h(
							'span.dim',
							`${tally(x => x.a && x.b && !x.what)} the same, ${tally(x => x.what)} differ, ${tally(x => !x.b)} only left, ${tally(x => !x.a)} only right`,
						),
					),
					list.el,
					difference,
				),
			);
			list.set(pairs.length);
			list.el.focus();
		} catch (e) {
			fill(main, fault(e));
		}
	})();
	const differing = by => {
		let i = chosen + by;
		while (pairs[i]?.a && pairs[i].b && !pairs[i].what) i += by;
		select(i);
	};
	return {
		sql: () => sql,
		close() {
			abort.abort();
			list.close();
		},
		keys: {
			j: () => select(chosen + 1),
			k: () => select(chosen - 1),
			e: () => differing(1),
			E: () => differing(-1),
			u: () => go(runLink(ids[0])),
		},
	};
}
