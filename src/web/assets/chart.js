// Charts over time, tables and figures.

import { a, h, says } from './dom.js';
import * as format from './format.js';
import { link } from './url.js';

const WIDTH = 600;
const HEIGHT = 110;

/**
 * @param {string} name @param {string[]} times @param {[string, (number | null | undefined)[]][]} lines names and values
 * @param {(n: any) => string} show @param {boolean} [stacked] bars instead of lines
 */
export function chart(name, times, lines, show, stacked) {
	const top =
		Math.max(
			0,
			...times.map((_, i) => {
				const at = lines.map(([, v]) => v[i] ?? 0);
				return stacked ? at.reduce((p, q) => p + q, 0) : Math.max(...at);
			}),
		) || 1;
	const step = WIDTH / times.length;
	const hue = n => (lines[n][0] === 'failed' ? 'failed' : `c${n}`);
	const y = v => HEIGHT - (v / top) * (HEIGHT - 4);
	const still = { 'vector-effect': 'non-scaling-stroke' };
	const base = times.map(() => 0);
	const marks = lines.map(([, values], n) => {
		if (!stacked)
			return h(`svg:path.${hue(n)}`, {
				...still,
				d: values
					.map((v, i) => (v == null ? '' : `${i && values[i - 1] != null ? 'L' : 'M'}${(i + 0.5) * step} ${y(v)}h2`))
					.join(''),
			});
		return values.map((v, i) =>
			v
				? h(`svg:rect.${hue(n)}`, {
						x: (i + 0.1) * step,
						width: step * 0.8,
						y: y((base[i] += v)),
						height: (v / top) * (HEIGHT - 4),
					})
				: null,
		);
	});
	const tips = times.map((t, i) =>
		h(
			'svg:rect',
			{ x: i * step, width: step, y: 0, height: HEIGHT, 'fill-opacity': 0 },
			h('svg:title', `${format.when(t)}\n${lines.map(([line, v]) => `${line}: ${show(v[i])}`).join('\n')}`),
		),
	);
	return h(
		'section.card',
		h(
			'header',
			h('h2.grow', name),
			h(
				'div.legend',
				lines.map(([line], n) =>
					h(
						'span',
						h('svg:svg', { viewBox: '0 0 8 8' }, h(`svg:rect.${hue(n)}`, { width: 8, height: 8, rx: 2 })),
						says(line, 40),
					),
				),
			),
		),
		h(
			'div.chart',
			h(
				'svg:svg',
				{
					role: 'img',
					'aria-label': `${name}: at most ${show(top)}`,
					viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
					preserveAspectRatio: 'none',
				},
				h('svg:path.rule', { ...still, d: `M0 ${HEIGHT}H${WIDTH}M0 4H${WIDTH}M0 ${HEIGHT / 2 + 2}H${WIDTH}` }),
				marks,
				tips,
			),
			h('div.legend', { 'aria-hidden': 'true' }, h('span.grow', format.when(times[0])), h('span', `max ${show(top)}`)),
		),
	);
}

// `Title:field:format` of a column or figure, `_` for a space; a field of the same name is left out, and the format of a figure that is a whole number.
const columns = spec =>
	spec
		.split('|')
		.map(c => c.split(':'))
		.map(([title, field, how]) => ({ title: title.replace(/_/g, ' '), field: field || title.toLowerCase(), how }));

/** @param {any} row @param {string} spec */
export const tiles = (row, spec) =>
	h(
		'div.tiles',
		columns(spec).map(({ title, field, how }) => h('div.tile', h('b', format[how ?? 'full'](row[field])), h('span', title))),
	);

/**
 * @param {string} name @param {any[]} rows @param {string} spec of the columns; a format with `@` links to the runs with this filter
 * @param {string} [none] what to say if there is nothing @param {Record<string, any>} [also] further filters of the links
 */
export function table(name, rows, spec, none = 'Nothing in this time.', also = {}) {
	const all = columns(spec);
	const cell = (r, c) => {
		const { field, how } = c;
		const value = r[field];
		if (format[how]) return h('td.num', format[how](value));
		const first = c === all[0];
		const words = says(!first && how === '/runs/' ? 'open' : (first && r.name) || (value ?? (first ? 'unknown' : '')));
		return h(
			'td',
			value == null || !how
				? words
				: a(how[0] === '@' ? link('/', { ...also, [how.slice(1)]: value.slice(0, 200) }) : `${how}${value}`, words),
		);
	};
	return h(
		'section.card',
		h('header', h('h2', name)),
		rows.length
			? h(
					'div.scroll',
					{ tabindex: 0, role: 'region', 'aria-label': name },
					h(
						'table',
						h(
							'thead',
							h(
								'tr',
								all.map(c => h(`th.${format[c.how] ? 'num' : ''}`, { scope: 'col' }, c.title)),
							),
						),
						h(
							'tbody',
							rows.map(r =>
								h(
									'tr',
									all.map(c => cell(r, c)),
								),
							),
						),
					),
				)
			: h('p.empty', none),
	);
}

/** Links of which one is current. @param {string} label @param {Route} at @param {string} name of the parameter @param {string[][]} options @param {string} on */
export const choice = (label, at, name, options, on) =>
	h(
		'div.seg',
		{ role: 'group', 'aria-label': label },
		options.map(([value, title]) =>
			h(
				'a.button',
				{ href: link(`/${at.path}`, { [name]: value }, at.params), 'aria-current': String(value === on) },
				title,
			),
		),
	);

/** Says how far back was counted, if that is not all. @param {Route} at @param {{counted_back_to: string | null}[]} answers */
export const partly = (at, answers) => {
	const back = answers
		.map(s => s.counted_back_to ?? '')
		.sort()
		.pop();
	return (
		back &&
		h(
			'p.note.warn',
			`Counted back to ${format.when(back)}. `,
			!at.params.has('wait') && a(link(`/${at.path}`, { wait: '10s' }, at.params), 'Count further'),
		)
	);
};

export const WINDOWS = [
	['1h', '1 hour'],
	['24h', '24 hours'],
	['7d', '7 days'],
	['30d', '30 days'],
];
