// The filters of the list of runs: search, status and time at hand, the rest in a menu, those in force as chips.

import { api } from './api.js';
import { $, button, fill, h, shown, template } from './dom.js';
import { when } from './format.js';
import { go, link } from './url.js';

const UNITS = { '': 1, ms: 1, s: 1e3, m: 6e4, min: 6e4, h: 36e5, k: 1e3, M: 1e6 };
const LABELS = { ms: 'Duration', tokens: 'Tokens', cost: 'Cost' };

/** What is typed into a range, as a number: `1.5s`, `2m`, `5k`, `$0.05`; null if it cannot be read. @param {string} typed @param {boolean} time */
export function amount(typed, time) {
	const units = time ? 'ms|s|m|min|h' : 'k|M';
	const [, number, unit] = RegExp(`^\\$?\\s*([\\d.]+)\\s*(${units}|)$`).exec(typed.trim()) ?? [];
	return number ? Math.round(Number(number) * UNITS[unit] * 1e6) / 1e6 : null;
}

/** A time as in the list, in the reader's zone; every other value as it is. @param {string} name @param {string} value */
const said = (name, value) => (/^(since|until)$/.test(name) && Date.parse(value) && value.includes('T') ? when(value) : value);

/** @param {Route} at */
export function filterBar(at) {
	const el = template('filter-bar');
	const [search, time, menu, chips] = ['.search', 'select', 'details', '.chips'].map(s => $(s, el));
	const apply = changes => go(link('/', { cursor: null, ...changes }, at.params));
	/** @type {Promise<Facets> | null} */
	let facets = null;
	search.onchange = () => apply({ q: search.value.trim() });
	time.onchange = () => apply({ since: time.value, until: null });
	for (const b of el.querySelectorAll('.seg button')) b.onclick = () => apply({ status: b.value });
	menu.ontoggle = () => {
		if (menu.open) open();
	};

	async function open() {
		$('form', menu)?.remove();
		const form = template('filter-form');
		menu.append(form);
		const ranges = [...form.querySelectorAll('[name^=min_], [name^=max_]')];
		for (const field of ranges) field.value = at.params.get(field.name) ?? '';
		form.elements.agent.focus();
		form.onkeydown = e => {
			if (e.key === 'Escape') {
				menu.open = false;
				$('summary', menu).focus();
			}
		};
		form.onsubmit = e => {
			e.preventDefault();
			const changes = {};
			for (const { name, value, type } of form.elements) {
				if (!name || !value) continue;
				if (type === 'datetime-local') changes[name] = new Date(value).toISOString();
				else if (!/^m(in|ax)_/.test(name)) changes[name] = [...new Set([...at.params.getAll(name), value.trim()])];
			}
			for (const field of ranges) {
				const value = field.value && amount(field.value, /ms$/.test(field.name));
				if (value === null) {
					fill($('[role=alert]', form), `cannot read “${field.value}”`);
					return field.focus();
				}
				changes[field.name] = String(value);
			}
			const key = $('#meta-key').value;
			if (key) changes[`meta.${key}`] = $('#meta-value').value;
			menu.open = false;
			apply(changes);
		};
		try {
			const { customers, ...lists } = await (facets ??= api('/api/facets'));
			for (const name of ['agents', 'models', 'tools', 'tags'])
				fill(
					$(`#${name}`, form),
					lists[name].map(value => h('option', { value })),
				);
			fill(
				$('#customers', form),
				customers.map(c => h('option', { value: c.id }, shown(c.name))),
			);
		} catch {
			facets = null; /* the fields work without proposals */
		}
	}

	function draw() {
		search.value = at.params.get('q') ?? '';
		const status = at.params.getAll('status');
		for (const b of el.querySelectorAll('.seg button'))
			b.setAttribute('aria-pressed', String(b.value ? status.includes(b.value) : !status.length));
		const since = at.params.get('since') ?? '';
		time.value = since;
		const other = time.value !== since || at.params.has('until');
		if (other) time.value = 'other';
		const all = [...at.params]
			.map(([name, value]) => {
				const [, end, what] = /^(m(?:in|ax)_|meta\.)(.*)/.exec(name) ?? [];
				if (/^(q|status|sort|order|cursor|limit)$/.test(name) || (name === 'since' && !other)) return null;
				const label = end === 'meta.' ? what : end ? `${LABELS[what] ?? what} ${end === 'min_' ? '≥' : '≤'}` : name;
				return h(
					'span.chip',
					h('span.dim', shown(label)),
					h('bdi.cut', { title: value }, shown(said(name, value)), what === 'ms' && ' ms'),
					button('plain', '×', () => apply({ [name]: at.params.getAll(name).filter(v => v !== value) }), {
						'aria-label': `Remove ${label} ${value}`,
					}),
				);
			})
			.filter(Boolean);
		chips.hidden = !all.length;
		fill(
			chips,
			all,
			button('plain', 'Clear all', () => go('/')),
		);
	}
	draw();
	return {
		el,
		live: $('.live', el),
		follow(now) {
			at = now;
			draw();
		},
	};
}
