// Texts and JSON of any size as rows of equal height: folded, found in, and only those in sight in the document.

import { button, copy, fill, finder, h, set, shown } from './dom.js';
import { bytes, plural } from './format.js';
import { virtual } from './virtual.js';

const HEIGHT = 18;
// More text than this is shown without structure.
const PLAIN = 3_000_000;
// Deeper levels are not moved further to the right.
const DEEPEST = 24;
// A tab takes at most this many cells.
const TAB = 8;

/** Cells of a code unit, rather too many than too few: what does not fit in its row would be hidden. @param {number} c */
const cells = c => (c === 9 ? TAB : c >= 0x2e80 || (c >= 0x1100 && c < 0x1160) ? 2 : 1);
/** Cells of a text as it is shown. @param {string} text */
const size = text => [...shown(text)].reduce((sum, c) => sum + cells(c.charCodeAt(0)), 0);

/** @param {string} kind @param {string} text @param {number} [depth] @param {string} [key] @returns {Line} */
export const line = (kind, text, depth = 0, key = '') => ({ kind, text, depth, key, more: 0 });

/** Where a row that begins at `at` ends. @param {string} text @param {number} at @param {number} end @param {number} width */
function fit(text, at, end, width) {
	let to = at;
	for (let room = width; to < end; to++) {
		room -= cells(text.charCodeAt(to));
		if (room < 0) break;
	}
	if (to === end) return end;
	// A word is cut only if it fills half of the row.
	const gap = text.slice(at, to + 1).lastIndexOf(' ');
	if (gap > (to - at) / 2) return at + gap + 1;
	// Not between the two halves of one character.
	if ((text.charCodeAt(to) & 0xfc00) === 0xdc00) to++;
	return Math.max(to, at + 1);
}

/** Cuts text, as it is shown, at newlines and after `width` cells. @param {string} text @param {number} width @param {(part: string) => void} give */
export function pieces(text, width, give) {
	const all = shown(text);
	for (let from = 0, end; from <= all.length; from = end + 1) {
		end = all.indexOf('\n', from);
		if (end < 0) end = all.length;
		if (end === from) give('');
		for (let at = from, to; at < end; at = to) {
			to = fit(all, at, end, width);
			give(all.slice(at, to));
		}
	}
}

/**
 * The rows of a JSON text. One scan, no parser: what was cut is shown as far as it goes, numbers keep every digit, nothing is too deep.
 * @param {string} json @param {number} width @param {number} [base] depth @returns {Line[]}
 */
export function jsonLines(json, width, base = 0) {
	/** @type {Line[]} */
	const lines = [];
	/** @type {number[]} */
	const open = [];
	let key = '';
	// A level takes as much room as two characters.
	const room = () => Math.max(20, width - 2 * Math.min(base + open.length, DEEPEST));
	const push = (kind, text, more = 0) => {
		lines.push(line(kind, text, base + open.length + more, key));
		key = '';
		return lines.length - 1;
	};
	/** In the row of its key if both fit, or cut below it. */
	const value = (kind, token, says) => {
		if (size(token) + size(key) <= room() && !says.includes('\n')) push(kind, token);
		else {
			const first = push(kind, '¶');
			pieces(says, room(), part => push(kind, part, 1));
			lines[first].more = lines.length - 1 - first;
		}
	};
	/** A key of many characters has rows of its own: none of it may be hidden. */
	const named = says => {
		const name = says.replace(/[\t\n]/g, c => (c === '\n' ? '␊' : '␉'));
		if (size(name) <= room() / 2) key = name;
		else pieces(`${name}:`, room(), part => push('key', part));
	};
	const token = /"(?:[^"\\]|\\[^])*"?|[{}[\],:]|[^\s"{}[\],:]+/g;
	for (let m = token.exec(json); m; m = token.exec(json)) {
		const [t] = m;
		if (t === '{' || t === '[') open.push(push('p', t));
		else if (t === '}' || t === ']') {
			const opener = open.pop() ?? -1;
			if (opener >= 0 && opener === lines.length - 1) lines[opener].text += t;
			else {
				const last = push('p', t);
				if (opener >= 0) lines[opener].more = last - opener;
			}
		} else if (t[0] === '"') {
			const says = unquoted(t);
			if (/^\s*:/.test(json.slice(token.lastIndex, token.lastIndex + 20))) named(says);
			else value('s', t, says);
		} else if (t !== ',' && t !== ':') value('n', t, t);
	}
	return lines;
}

function unquoted(token) {
	try {
		return JSON.parse(token);
	} catch {
		return token.slice(1);
	}
}

let viewers = 0;

/**
 * Shows rows. They are made for the width that there is.
 * @param {string} label @param {(width: number) => Line[]} make @param {(rows: number) => void} [sized] @param {(found: string) => void} [tell]
 */
export function viewer(label, make, sized, tell) {
	const name = `text${++viewers}`;
	/** @type {Line[]} */
	let lines = [];
	/** The rows in no folded one, as positions in lines. @type {number[]} */
	let seen = [];
	/** @type {number[]} */
	let hits = [];
	let [hit, width, found, now] = [-1, 0, '', -1];
	const fold = (n, on = !lines[n].folded) => {
		if (lines[n]?.more) {
			lines[n].folded = on;
			arrange();
		}
	};
	const list = virtual({
		height: HEIGHT,
		label,
		class: 'text',
		role: 'tree',
		row(i) {
			const n = seen[i];
			const { kind, text, depth, key, more, href, folded } = lines[n];
			const words = shown(text);
			const at = found ? words.toLowerCase().indexOf(found) : -1;
			return h(
				'div',
				{
					id: `${name}-${i}`,
					role: 'treeitem',
					'aria-level': Math.min(depth, DEEPEST) + 1,
					'aria-expanded': more > 0 && String(!folded),
					'aria-selected': String(n === now),
					'aria-label': !(key || words.trim()) && 'empty',
					'--depth': Math.min(depth, DEEPEST),
					dir: 'auto',
					class: `${kind} ${more ? 'foldable' : ''} ${folded ? 'folded' : ''}`,
					onclick: more > 0 && (() => String(getSelection()) || fold(n)),
				},
				key && [h('span.key', shown(key)), ': '],
				at < 0
					? h('span', words)
					: [words.slice(0, at), h('mark', words.slice(at, at + found.length)), words.slice(at + found.length)],
				href && [' ', h('a', { href }, 'open')],
				folded && h('span.dim', ` … ${plural(more, 'line')}`),
			);
		},
		key(e) {
			const at = seen.indexOf(now);
			const to = { ArrowDown: at + 1, ArrowUp: at - 1 }[e.key];
			if (seen[to ?? -1] != null) step(seen[to]);
			else if (/^Arrow[LR]/.test(e.key)) fold(now, e.key === 'ArrowLeft');
			else if (e.key === 'Enter') fold(now);
			else return false;
			return true;
		},
		resized() {
			const w = Math.max(30, Math.min(160, Math.floor((list.el.clientWidth - 60) / 7.25)));
			if (list.el.clientWidth && w !== width) {
				width = w;
				read();
			}
		},
	});
	function read() {
		if (!width) return;
		lines = make(width);
		search();
		arrange();
	}
	function arrange() {
		seen = [];
		for (let n = 0; n < lines.length; n++) {
			seen.push(n);
			if (lines[n].folded) n += lines[n].more;
		}
		sized?.(seen.length);
		list.set(seen.length);
	}
	function search() {
		hits = [];
		if (found)
			lines.forEach((l, n) => {
				if (l.text.toLowerCase().includes(found) || l.key.toLowerCase().includes(found)) hits.push(n);
			});
	}
	/** Goes to a row. @param {number} n */
	function show(n) {
		if (!seen.includes(n)) for (const l of lines) l.folded = false;
		arrange();
		step(n, true);
	}
	function step(n, middle) {
		now = n;
		list.set(seen.length);
		list.show(seen.indexOf(n), middle);
		list.choose(`${name}-${seen.indexOf(n)}`);
	}
	function hop(by) {
		if (hits.length) show(hits[(hit = (hit + by + hits.length) % hits.length)]);
		tell?.(found && (hits.length ? `${hit + 1} of ${hits.length}` : 'not found'));
	}
	return {
		el: list.el,
		read,
		show,
		hop,
		close: list.close,
		lines: () => lines,
		now: () => now,
		find(q) {
			found = q.toLowerCase();
			hit = -1;
			search();
			hop(1);
			if (!hits.length) list.set(seen.length);
		},
	};
}

/**
 * A payload under its name.
 * @param {string} name @param {Field} field @param {{more?: (offset: number) => Promise<Field>, tall?: boolean}} [o]
 */
export function payload(name, field, { more, tall } = {}) {
	let { text, next } = field;
	const make = width => {
		if (field.json && text.length < PLAIN) return jsonLines(text, width);
		/** @type {Line[]} */
		const lines = [];
		pieces(text, width, part => lines.push(line('', part)));
		return lines;
	};
	const tally = h('span.dim', { 'aria-live': 'polite' });
	const rest = h('span.dim.grow');
	const view = viewer(
		name,
		make,
		n => set(view.el, { '--h': tall ? '100%' : `${Math.min(n * HEIGHT + 6, 420)}px` }),
		found => {
			tally.textContent = found;
		},
	);
	const find = finder(`Find in ${name}`, view);
	const size = () =>
		fill(
			rest,
			next != null
				? [`first ${bytes(text.length)} of ${bytes(field.chars)} `, more && button('b', 'Load the rest', load)]
				: bytes(field.chars),
		);
	async function load() {
		const parts = [text];
		try {
			while (next != null) {
				fill(rest, `loading … ${bytes(next)}`);
				const part = await /** @type {NonNullable<typeof more>} */ (more)(next);
				parts.push(part.text);
				next = part.next;
			}
		} finally {
			text = parts.join('');
			view.read();
			size();
		}
	}
	size();
	const fold = e => {
		view.el.hidden = !view.el.hidden;
		fill(e.currentTarget, view.el.hidden ? '▸' : '▾');
		set(e.currentTarget, { 'aria-expanded': String(!view.el.hidden) });
	};
	const el = h(
		'section.payload',
		h(
			'header',
			button('plain', '▾', fold, { 'aria-expanded': 'true', 'aria-label': `Fold ${name}` }),
			h('h3', name),
			rest,
			tally,
			find,
			button('b', 'Copy', () => copy(text, name)),
		),
		view.el,
	);
	return {
		el,
		close: view.close,
		find: q => {
			find.value = q;
			view.find(q);
		},
	};
}
