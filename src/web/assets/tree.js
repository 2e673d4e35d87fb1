// The tree of a run beside its waterfall.

import { dot, fill, h, says, set, shown } from './dom.js';
import { count, full, ms, usd } from './format.js';
import { failed, hue } from './rows.js';
import { virtual } from './virtual.js';

/** How far a key goes in the map: rows, or tenths of them. */
const MAP_KEYS = { ArrowUp: -1, ArrowDown: 1, PageUp: -10, PageDown: 10, Home: -1e9, End: 1e9 };

/**
 * @param {() => import('./rows.js').Rows} rows
 * @param {{selected: () => Row, select: (r: Row) => void, fold: (r: Row) => void, hits: () => Set<string>, open: (r: Row) => void}} on
 */
export function tree(rows, on) {
	let span = 1;
	const ticks = h('div.ticks');
	const map = h('canvas.map', {
		role: 'slider',
		tabindex: 0,
		'aria-label': 'Map of steps',
		'aria-orientation': 'vertical',
		'aria-valuemin': 1,
		onclick: e => at((e.offsetY / map.clientHeight) * rows().seen.length),
		onkeydown: e => {
			const by = MAP_KEYS[e.key];
			if (!by) return;
			e.preventDefault();
			const { seen } = rows();
			at(seen.indexOf(on.selected()) + (e.key[0] === 'P' ? (by / 10) * Math.ceil(seen.length / 10) : by));
		},
	});
	/** Selects a row by its place, or the first or the last. @param {number} i */
	const at = i => on.select(rows().seen[Math.trunc(i)] ?? rows().seen.at(i < 0 ? 0 : -1));
	const list = virtual({ height: 26, label: 'Steps', role: 'tree', class: 'tree', row: draw, resized: paint });

	function draw(i) {
		const r = rows().seen[i];
		const point = r.item === 'message' || r.item === 'score';
		const open = r.duration == null && (r.status === 'running' || r.status === 'pending');
		const length = open ? Math.max(0, Date.now() - rows().began - r.offset) : (r.duration ?? 0);
		const t = r.tokens;
		return h(
			'div.lane',
			{
				id: `row-${i}`,
				role: 'treeitem',
				'aria-level': r.depth + 1,
				'aria-selected': String(r === on.selected()),
				'aria-expanded': r.kids[0] && String(!r.folded),
				class: `${failed(r) ? 'failed' : ''} ${on.hits().has(r.id) ? 'hit' : ''}`,
				onclick: () => on.select(r),
				ondblclick: () => on.open(r),
			},
			h(
				'span.label',
				{ '--depth': Math.min(r.depth, 16) },
				h(
					'span.fold',
					r.kids[0] && {
						'aria-hidden': 'true',
						onclick: e => {
							e.stopPropagation();
							on.fold(r);
						},
					},
					r.kids[0] && (r.folded ? '▸' : '▾'),
				),
				r.status && r.status !== 'completed' && dot(r.status),
				says(r.name || r.kind),
				h('span.kind', says(r.kind.replace(/_call$/, ''), 24)),
				r.folded && h('span.dim', ` +${r.kids.length}`),
			),
			h(
				'span.track',
				{ 'aria-hidden': 'true' },
				h('i', {
					class: `${point ? 'point' : open ? 'open' : ''} ${hue(r)}`,
					'--x': `${(100 * (r.offset - rows().from)) / span}%`,
					'--w': `${(100 * length) / span}%`,
				}),
			),
			h('span.num', { title: `at ${ms(r.offset)}` }, point ? '' : ms(open ? length : r.duration)),
			h(
				'span.num.dim.mid',
				{ title: t?.cached && `${full(t.cached)} of the input cached` },
				t && (t.input || t.output) ? `${count(t.input)} → ${count(t.output)}` : '',
			),
			h('span.num.dim.mid', t?.cost == null ? '' : usd(t.cost)),
		);
	}

	/** Marks errors, hits and the selected row beside the scroll bar. */
	function paint() {
		const { clientWidth: width, clientHeight: height } = map;
		const seen = rows()?.seen ?? [];
		const now = on.selected();
		set(map, {
			'aria-valuemax': seen.length,
			'aria-valuenow': seen.indexOf(now) + 1,
			'aria-valuetext': now && `${shown(now.name || now.kind).slice(0, 80)}${failed(now) ? ', failed' : ''}`,
		});
		if (!height || !seen.length) return;
		const ink = map.getContext('2d');
		const style = getComputedStyle(map);
		map.width = width;
		map.height = height;
		for (const [colour, fits] of Object.entries({
			'--wait': r => on.hits().has(r.id),
			'--fail': failed,
			'--accent': r => r === on.selected(),
		})) {
			ink.fillStyle = style.getPropertyValue(colour);
			seen.forEach((r, i) => {
				if (fits(r))
					ink.fillRect(2, (i / seen.length) * height, width - 4, Math.max(2, Math.min(6, height / seen.length)));
			});
		}
	}
	addEventListener('theme', paint);
	return {
		el: h(
			'div.left',
			h(
				'div.axis.lane',
				{ 'aria-hidden': 'true' },
				h('span', 'Step'),
				ticks,
				h('span.num', 'Time'),
				h('span.num.mid', 'Tokens'),
				h('span.num.mid', 'Cost'),
			),
			h('div.treebox', list.el, map),
		),
		/** Draws again, and goes to the selected row if told so. @param {boolean} [show] */
		refresh(show) {
			const { seen, end, from, began, root } = rows();
			// While a run runs, the waterfall spans up to now.
			span = Math.max(1, end, root.status === 'running' ? Date.now() - began : 0) - from;
			fill(
				ticks,
				[0, 1, 2, 3].map(q => h('span', { '--x': `${25 * q}%` }, ms(from + (span * q) / 4))),
			);
			list.set(seen.length);
			const i = seen.indexOf(on.selected());
			list.choose(`row-${i}`);
			if (show) list.show(i, true);
			paint();
		},
		focus: () => list.el.focus({ preventScroll: true }),
		close() {
			removeEventListener('theme', paint);
			list.close();
		},
	};
}
