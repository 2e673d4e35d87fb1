// Which screen is shown, keys, theme, login, and how many approvals wait.

import { api } from './api.js';
import { approvals } from './approvals.js';
import { compare } from './compare.js';
import { cost } from './cost.js';
import { $, button, copy, fill, h, template, title } from './dom.js';
import { overview } from './overview.js';
import { run } from './run.js';
import { runs } from './runs.js';
import { session } from './talk.js';
import { go, route } from './url.js';

/** @type {Record<string, Opener>} */
const SCREENS = { '': runs, runs: run, sessions: session, compare, approvals, overview, cost };
const main = $('#main');
/** @type {View | null} */
let screen = null;
let now = '';
/** @type {Me | null} */
let me = null;

function show() {
	const at = route();
	if (at.path === 'login') return login();
	const name = `${at.path}/${at.id}`;
	if (screen && name === now && screen.follow?.(at)) return;
	screen?.close?.();
	now = name;
	document.title = `${title(at.path || 'runs')} · runtraced`;
	const tab = ['approvals', 'overview', 'cost'].includes(at.path) ? at.path : '';
	for (const link of document.querySelectorAll('nav a'))
		link.setAttribute('aria-current', String(link.getAttribute('href') === `/${tab}`));
	main.scrollTop = 0;
	screen = ((at.path !== 'runs' || at.id) && SCREENS[at.path] ? SCREENS[at.path] : runs)(main, at);
}

function dialog(name) {
	const box = template(name);
	box.onclose = () => box.remove();
	$('.close', box).onclick = () => box.close();
	document.body.append(box);
	box.showModal();
	return box;
}
const help = () => dialog('help');
const sql = () =>
	fill(
		$('.queries', dialog('sql')),
		Object.entries({ ...(me?.sql_as && { 'First: as whom you read': me.sql_as }), ...screen?.sql() }).map(([name, text]) =>
			h(
				'section',
				h(
					'div.bar',
					h('h3.grow', name),
					button('b', 'Copy', () => copy(text, 'SQL')),
				),
				h('pre', { tabindex: 0 }, text),
			),
		),
	);

function login() {
	if ($('.login')) return;
	screen?.close?.();
	screen = null;
	now = '';
	$('#log-out').hidden = true;
	const form = template('login');
	fill(main, form);
	const key = $('#key');
	key.focus();
	form.onsubmit = async e => {
		e.preventDefault();
		try {
			await api('/api/login', { post: { key: key.value.trim() } });
			fill(main);
			await who();
			if (route().path === 'login') go('/');
			else show();
		} catch (x) {
			fill($('[role=alert]', form), x.message);
			key.select();
		}
	};
}

async function who() {
	me = await api('/api/me');
	$('#log-out').hidden = me?.login !== 'key';
	if (me?.login === 'needed') login();
	else waiting();
}

let timer;
async function waiting() {
	clearTimeout(timer);
	timer = setTimeout(waiting, 5000);
	if (document.hidden || !screen) return;
	try {
		const { pending } = await api('/api/approvals?status=pending&limit=1');
		const badge = $('#waiting');
		badge.hidden = !pending;
		fill(badge, String(pending), h('span.offstage', ' waiting'));
	} catch {
		/* the screen itself says what is wrong */
	}
}

// Light or dark: the system's choice until the reader makes one.
const dark = matchMedia('(prefers-color-scheme: dark)');
const paint = () => {
	document.documentElement.classList.toggle(
		'dark',
		(localStorage.getItem('theme') ?? (dark.matches ? 'dark' : 'light')) === 'dark',
	);
	dispatchEvent(new Event('theme'));
};
const turn = () => {
	localStorage.setItem('theme', document.documentElement.classList.contains('dark') ? 'light' : 'dark');
	paint();
};
const search = () => {
	const field = $('[data-find]');
	field?.focus();
	field?.select();
};
paint();
dark.onchange = paint;
$('#show-sql').onclick = sql;
$('#show-theme').onclick = turn;
$('#show-help').onclick = help;
$('#log-out').onclick = async () => {
	await api('/api/logout', { post: {} });
	location.assign('/login');
};

/** @type {Keys} */
const KEYS = { '?': help, s: sql, t: turn, '/': search };
addEventListener('keydown', e => {
	const at = /** @type {HTMLElement} */ (e.target);
	if (e.ctrlKey || e.metaKey || e.altKey || $('dialog[open]')) return;
	if (at.matches('input:not([type=checkbox]), textarea, select')) {
		// Left as it is: a browser would empty a field of search.
		if (e.key === 'Escape') {
			e.preventDefault();
			at.blur();
		}
	} else if (!(e.key === 'Enter' && at.matches('a, button, summary'))) {
		const act = screen?.keys?.[e.key] ?? KEYS[e.key];
		if (act && act(e) !== false) e.preventDefault();
	}
});
addEventListener('click', e => {
	const at = /** @type {HTMLElement} */ (e.target);
	for (const menu of document.querySelectorAll('details.menu')) if (!menu.contains(at)) menu.removeAttribute('open');
	const link = at.closest('a');
	const href = link?.getAttribute('href');
	if (!href?.startsWith('/') || link?.download || e.button || e.ctrlKey || e.metaKey || e.shiftKey) return;
	e.preventDefault();
	go(href);
});
addEventListener('popstate', show);
// A page that a browser keeps for its back button would keep its stream, and browsers allow few.
addEventListener('pagehide', () => {
	screen?.close?.();
	screen = null;
});
addEventListener('pageshow', e => {
	if (e.persisted) show();
});
addEventListener('login-needed', login);
addEventListener('decided', waiting);
show();
who().catch(() => {});
