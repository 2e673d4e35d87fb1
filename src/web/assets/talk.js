// A conversation: of one run, or of a session across its runs.

import { api, events } from './api.js';
import { facts, near } from './detail.js';
import { a, fault, fill, finder, h, says } from './dom.js';
import { bytes, plural, when } from './format.js';
import { jsonLines, line, pieces, viewer } from './text.js';
import { link, runLink } from './url.js';

/** @param {string} path of the API */
export function talk(path) {
	/** @type {Message[]} */
	let said = [];
	/** @type {string | null} */
	let next = null;
	let sql, busy, last;
	const tell = h('div');
	const more = h('div.bar');
	const view = viewer('Conversation', width => said.flatMap(m => lines(m, width)));
	view.el.classList.add('talk');

	/** @param {Message} m @param {number} width */
	function lines(m, width) {
		/** @type {string | null} */
		const where = m.run_id && runLink(m.run_id, { step: m.id });
		const kind = `m ${m.role ?? ''}`;
		const rest = (list, value, cut, chars) => {
			if (cut) list.push({ ...line(`${kind} dim`, `first ${bytes(value.length)} of ${bytes(chars)}`, 1), href: where });
		};
		const text = (list, value, cut, chars) => {
			pieces(value, width, part => list.push(line(kind, part, 1)));
			rest(list, value, cut, chars);
		};
		/** @type {Line[]} */
		const all = [{ ...line(`${kind} role`, `${m.role ?? 'message'}  ${when(m.at)}`), href: where }];
		if (m.thinking) {
			const inner = [];
			text(inner, m.thinking, m.thinking_cut, m.thinking_chars);
			all.push({ ...line(`${kind} dim`, 'thinking', 1), more: inner.length, folded: inner.length > 4 }, ...inner);
		}
		if (m.content) text(all, m.content, m.content_cut, m.content_chars);
		if (m.tool_calls) {
			all.push(
				line(`${kind} dim`, 'tool calls', 1),
				...jsonLines(m.tool_calls, width, 1).map(l => ({ ...l, kind: `${kind} ${l.kind}` })),
			);
			rest(all, m.tool_calls, m.tool_calls_cut, m.tool_calls_chars);
		}
		all.push(line('', ''));
		return all;
	}

	/** Reads the first page again, or the next one. @param {boolean} [further] */
	async function load(further) {
		if (busy) return null;
		busy = true;
		try {
			const got = /** @type {ConversationAnswer} */ (
				await api(link(path, { limit: 200, cursor: further ? next : null }))
			);
			const keep = further ? said : [];
			const tail = !further && said.length > got.rows.length ? said.slice(got.rows.length) : [];
			said = [...keep, ...got.rows, ...tail];
			if (!tail.length) next = got.next;
			sql = got.sql;
			const now = JSON.stringify(said.map(m => [m.id, m.content_chars]));
			if (now !== last) view.read();
			last = now;
			fill(
				tell,
				!said.length && h('p.empty', 'No messages. The timeline has the inputs and outputs of the steps.'),
			);
			fill(
				more,
				next && h('button', { onclick: () => load(true) }, 'Load more'),
				said[0] && h('span.dim', plural(said.length, 'message')),
			);
			return got;
		} catch (e) {
			fill(tell, fault(e));
			return null;
		} finally {
			busy = false;
		}
	}
	return {
		el: h('div.left', tell, view.el, more),
		load,
		sql: () => sql,
		find: view.find,
		hop: view.hop,
		close: view.close,
		/** To the next message. @param {number} by */
		move(by) {
			const all = view.lines();
			for (let n = view.now() + by; n >= 0 && n < all.length; n += by)
				if (all[n].kind.endsWith('role')) return view.show(n);
		},
	};
}

/** @type {Opener} */
export function session(main, { id }) {
	const words = talk(`/api/sessions/${id}/conversation`);
	const head = h('header.head');
	const runs = h('div.right', { role: 'region', 'aria-label': 'Runs of the session', tabindex: 0 });
	const find = finder('Find in the conversation', words, { 'data-find': '', placeholder: 'Find  ( / )' });
	let timer;
	fill(
		main,
		h('div.run', head, h('div.tabs', h('h2.grow', 'Conversation across runs'), find), h('div.split', words.el, runs)),
	);
	async function load() {
		timer = 0;
		const got = await words.load();
		if (!got?.session) return;
		const s = got.session;
		const list = (name, value) => value && a(link('/', { [name]: value }), value);
		fill(
			head,
			h(
				'div.title',
				h('h1.cut.grow', says(s.title ?? s.external_id ?? id, 200)),
				h('a.button', { href: link('/', { session: id }) }, 'Its runs in the list'),
			),
			facts([
				['session', id],
				['external id', s.external_id && says(s.external_id)],
				['user', list('user', s.user_id)],
				['customer', list('customer', s.customer_id)],
			]),
		);
		fill(
			runs,
			h('div.bar', h('h3', 'Runs')),
			got.runs?.map(n => near(n, runLink(n.run_id, { in: `session=${id}` }))),
		);
	}
	load();
	// It is read again when a run of the session says that it changed, or after a break.
	let opened = false;
	const soon = () => {
		timer ||= setTimeout(load, 2000);
	};
	const stop = events(link('/api/runs/events', { session: id, limit: 200 }), { change: soon, snapshot: () => (opened ? soon() : (opened = true)) }, () => {});
	return {
		sql: () => ({ 'The conversation': words.sql() ?? '' }),
		keys: { j: () => words.move(1), k: () => words.move(-1), n: () => words.hop(1), N: () => words.hop(-1) },
		close() {
			stop();
			clearTimeout(timer);
			words.close();
		},
	};
}
