// What waits for a person: decide, with a note.

import { api } from './api.js';
import { choice } from './chart.js';
import { facts } from './detail.js';
import { $, a as anchor, button, dot, fault, fill, h, says, shown, title, toast } from './dom.js';
import { ago, when } from './format.js';
import { payload } from './text.js';
import { link, runLink } from './url.js';

/** @type {Opener} */
export function approvals(main, at) {
	const state = at.params.get('status') ?? 'pending';
	/** @type {Map<string, {el: any, note: any, revision: string, close?: () => void}>} */
	const cards = new Map();
	let sql = '';
	let may = true;
	let timer, gone;
	const say = h('div', { role: 'status' });
	const queue = h('div.queue');
	const foot = h('div.bar');
	fill(
		main,
		h(
			'div.bar',
			h('h1', 'Approvals'),
			choice(
				'Status',
				{ ...at, params: new URLSearchParams() },
				'status',
				[['', 'Waiting'], ...['approved', 'rejected', 'expired'].map(s => [s, title(s)])],
				state === 'pending' ? '' : state,
			),
		),
		say,
		queue,
		foot,
	);

	/** @param {Approval} a @param {string} [said] what the person typed @param {string} [warning] */
	function card(a, said = '', warning = '') {
		const more = async offset =>
			(await api(`/api/runs/${a.run_id}/payload?item=approval&id=${a.id}&field=input&offset=${offset}`)).fields.input;
		const args =
			a.action_data &&
			payload(
				'Arguments',
				{
					text: a.action_data,
					chars: a.action_data_chars,
					next: a.action_data_next,
					json: true,
				},
				{ more: a.run_id ? more : undefined },
			);
		const note = h('input', { placeholder: 'Note (optional)', 'aria-label': 'Note', maxlength: 4000, value: said });
		const alert = h('span.bad', { role: 'alert' }, warning);
		const buttons = [
			['main', 'Approve', 'approved'],
			['reject', 'Reject', 'rejected'],
		].map(([cls, label, decision]) => button(cls, label, () => decide(decision), { disabled: !may }));
		async function decide(decision) {
			const off = on => {
				for (const b of buttons) b.disabled = on;
			};
			off(true);
			try {
				await api(`/api/approvals/${a.id}/decision`, {
					post: { decision, note: note.value.trim() || null, shown: a.revision },
				});
				toast(title(decision));
				dispatchEvent(new Event('decided'));
				load();
			} catch (e) {
				const now = e.body?.approval;
				if (e.body?.code === 'changed') return put(now, e.message);
				fill(
					alert,
					e.message,
					now && ` It is ${now.status}${now.decided_by_name ? ` by ${shown(now.decided_by_name)}` : ''}.`,
				);
				off(!!now);
			}
		}
		const left = () => (a.overdue || Date.parse(a.expires_at ?? '') < Date.now() ? 'passed' : ago(a.expires_at));
		const el = h(
			'article.ask',
			{ 'aria-label': shown(a.action_description ?? a.action_type) },
			h(
				'header.head',
				h(
					'div.title',
					dot(a.status),
					h('h2', says(a.action_description ?? a.action_type, 1000)),
					a.action_description && h('span.kind', says(a.action_type, 40)),
				),
				facts([
					['asked by', a.agent_id && says(a.agent_id)],
					[
						'in',
						a.run_id
							? anchor(runLink(a.run_id, { step: a.id }), says(a.run_name ?? a.run_id))
							: a.session_id && anchor(`/sessions/${a.session_id}`, 'its session'),
					],
					['', a.created_at && `asked ${ago(a.created_at)}`],
					[
						'deadline',
						a.status === 'pending' &&
							a.expires_at &&
							h('span', { title: when(a.expires_at), ontick: e => fill(e.target, left()) }, left()),
					],
					['', a.status !== 'pending' && `${a.status} ${when(a.decided_at)}`],
					[
						'by',
						a.decided_by_name &&
							h('span', { title: a.decided_by_key_id && `key ${a.decided_by_key_id}` }, says(a.decided_by_name)),
					],
					['note', a.notes && says(a.notes, 2000)],
				]),
			),
			args && args.el,
			a.status === 'pending' && h('footer', note, buttons, !may && h('span.dim', 'You may read, not decide.'), alert),
		);
		return { el, note, revision: a.revision, close: args ? args.close : undefined };
	}
	/** Shows a request, in the place of what was shown of it before. @param {Approval} a @param {string} [warning] */
	function put(a, warning) {
		const old = cards.get(a.id);
		const c = card(a, old?.note.value, warning);
		cards.set(a.id, c);
		if (old) {
			old.el.replaceWith(c.el);
			old.close?.();
		} else queue.append(c.el);
	}
	async function load() {
		clearTimeout(timer);
		try {
			const got = await api(link('/api/approvals', { status: state, limit: 50 }, at.params));
			if (gone) return;
			sql = got.sql;
			// A card that stays keeps what somebody is writing in it; one whose request was changed is made anew.
			const now = new Set(got.rows.map(r => r.id));
			for (const [id, c] of cards)
				if (!now.has(id)) {
					c.el.remove();
					c.close?.();
					cards.delete(id);
				}
			for (const r of got.rows)
				if (cards.get(r.id)?.revision !== r.revision)
					put(r, cards.has(r.id) ? 'The request was changed: look at it again.' : '');
			fill(
				say,
				!got.rows.length &&
					h('p.empty', state === 'pending' ? 'Nothing waits for a decision.' : `No approval is ${state}.`),
			);
			fill(foot, got.next && h('a.button', { href: link('/approvals', { cursor: got.next }, at.params) }, 'Next page'));
		} catch (e) {
			if (!gone) fill(say, fault(e));
		}
		if (!gone) timer = setTimeout(load, document.hidden ? 15_000 : 2000);
	}
	api('/api/me')
		.then(me => {
			may = me.may.decide;
		})
		.finally(load);
	const clock = setInterval(() => {
		for (const el of queue.querySelectorAll('b > span')) el.dispatchEvent(new Event('tick'));
	}, 1000);
	const move = by => {
		const all = [...queue.children];
		const i = all.findIndex(c => c.contains(document.activeElement));
		const next = all[i < 0 ? 0 : i + by];
		if (next) ($('footer button:not(:disabled)', next) ?? $('a, button', next)).focus();
		next?.scrollIntoView({ block: 'nearest' });
	};
	return {
		sql: () => ({ Approvals: sql }),
		keys: { j: () => move(1), k: () => move(-1) },
		follow: () => false,
		close() {
			gone = true;
			clearTimeout(timer);
			clearInterval(clock);
			for (const c of cards.values()) c.close?.();
		},
	};
}
