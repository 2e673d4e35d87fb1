// Elements from data. Text becomes text nodes: nothing that a trace says is ever parsed as HTML.

// Characters that hide or reorder what a person reads. Tab and newline stay, and what joins emoji and letters.
const UNSEEN = /(?![\u200c\u200d\ufe00-\ufe0f])[\0-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufff9-\ufffb\p{DI}]/gu;

/** Names characters that nobody can see. @param {unknown} text */
export const shown = text =>
	String(text ?? '').replace(UNSEEN, c => {
		const code = /** @type {number} */ (c.codePointAt(0));
		return c === '\r'
			? ''
			: code < 32
				? String.fromCharCode(0x2400 + code)
				: `\\u${code.toString(16).padStart(4, '0')}`;
	});

/**
 * Makes an element: `h('a.cut', {href, onclick}, 'text', child)`; `svg:` before the tag makes one of SVG.
 * @param {string} spec tag and classes
 * @param {Props | Kid} [first] attributes, if it is a plain object: `on…` listens, `--x` is a CSS property
 * @param {...Kid} kids
 * @returns {any}
 */
export function h(spec, first, ...kids) {
	const [tag, ...classes] = spec.split('.');
	const el = tag.startsWith('svg:')
		? document.createElementNS('http://www.w3.org/2000/svg', tag.slice(4))
		: document.createElement(tag);
	el.classList.add(...classes.filter(Boolean));
	if (first?.constructor === Object) set(el, /** @type {Props} */ (first));
	else add(el, [first]);
	add(el, kids);
	return el;
}

/** Sets attributes; null and false remove them. @param {any} el @param {Props} props */
export function set(el, props) {
	for (const [name, value] of Object.entries(props)) {
		if (value == null || value === false) el.removeAttribute(name);
		else if (typeof value === 'function') el.addEventListener(name.slice(2), value);
		else if (name.startsWith('--')) el.style.setProperty(name, String(value));
		else if (name === 'class') el.classList.add(...String(value).split(' ').filter(Boolean));
		else if (name === 'value') el.value = value;
		else el.setAttribute(name, value === true ? '' : String(value));
	}
}

function add(el, kids) {
	for (const kid of kids) {
		if (Array.isArray(kid)) add(el, kid);
		else if (kid != null && kid !== false) el.append(kid);
	}
}

/** Replaces what is in an element. @param {Element} el @param {...Kid} kids */
export function fill(el, ...kids) {
	el.replaceChildren();
	add(el, kids);
}

/** As `fill`, but what is the same stays, and with it focus and selection. @param {Element} el @param {...Kid} kids */
export function keep(el, ...kids) {
	const next = el.cloneNode();
	add(next, kids);
	const old = [...el.childNodes];
	const now = [...next.childNodes];
	now.forEach((n, i) => {
		const o = old[i];
		if (!o) el.append(n);
		else if (o.isEqualNode(n)) return;
		else if (o.nodeType === 1 && o.cloneNode().isEqualNode(n.cloneNode()))
			keep(/** @type {Element} */ (o), ...n.childNodes);
		else o.replaceWith(n);
	});
	for (const o of old.slice(now.length)) o.remove();
}

/** Text from a trace, its direction isolated. @param {unknown} text @param {number} [max] characters */
export function says(text, max = 120) {
	const all = String(text ?? '');
	return h(
		'bdi',
		{ title: all.length > 40 && shown(all.slice(0, 1000)) },
		shown(all.slice(0, max)) + (all.length > max ? '…' : ''),
	);
}

/** @param {string} selector @param {ParentNode} [under] @returns {any} */
export const $ = (selector, under = document) => under.querySelector(selector);

/** A copy of a template of index.html. @param {string} name @returns {any} */
export const template = name => $(`#${name}`).content.firstElementChild.cloneNode(true);

/** @param {string} spec @param {Kid} label @param {(e: any) => void} act @param {Props} [props] */
export const button = (spec, label, act, props) =>
	h(`button.${spec}`, { type: 'button', onclick: act, ...props }, label);

/** @param {string} href @param {...Kid} kids */
export const a = (href, ...kids) => h('a', { href }, ...kids);

/**
 * A field that finds: as it is typed, and from hit to hit by Enter.
 * @param {string} label @param {{find: (q: string) => void, hop: (by: number) => void}} on @param {Props} [props]
 */
export const finder = (label, { find, hop }, props) => {
	const el = h('input', {
		type: 'search',
		placeholder: 'Find',
		'aria-label': label,
		oninput: () => find(el.value),
		onkeydown: e => {
			if (e.key === 'Enter') hop(e.shiftKey ? -1 : 1);
		},
		...props,
	});
	return el;
};

/** A status as a mark. @param {string} status */
export const dot = status => h(`span.dot.${status}`, { role: 'img', 'aria-label': status, title: status });

/** @param {{message: string}} e */
export const fault = e => h('p.note.bad', { role: 'alert' }, shown(e.message));

export const title = word => word[0].toUpperCase() + word.slice(1);

let fading = 0;
/** Says something briefly. @param {string} text */
export function toast(text) {
	const el = $('#toast');
	el.textContent = text;
	el.classList.add('on');
	clearTimeout(fading);
	fading = setTimeout(() => el.classList.remove('on'), 4000);
}

/** @param {string} text @param {string} what */
export async function copy(text, what) {
	try {
		await navigator.clipboard.writeText(text);
		toast(`${what} copied`);
	} catch {
		toast('The browser lets this page copy only over TLS or loopback');
	}
}
