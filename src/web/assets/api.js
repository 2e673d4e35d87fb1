// Requests to the daemon.

export class ApiError extends Error {
	constructor(status, text, body) {
		super(text);
		this.status = status;
		this.body = body;
	}
}

/** @param {string} path @param {{signal?: AbortSignal, post?: unknown}} [o] @returns {Promise<any>} */
export async function api(path, { signal, post } = {}) {
	let answer;
	try {
		answer = await fetch(
			path,
			post === undefined
				? { signal }
				: { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(post) },
		);
	} catch (e) {
		throw signal?.aborted ? e : new ApiError(0, 'The daemon does not answer.');
	}
	const text = await answer.text();
	/** @type {any} */
	let body;
	try {
		body = text && JSON.parse(text);
	} catch {
		/* the error page of a proxy */
	}
	if (answer.ok) return body;
	if (answer.status === 401 && path !== '/api/login') {
		dispatchEvent(new Event('login-needed'));
		// The log-in takes the place of whoever asked: an error must not take it back.
		return new Promise(() => {});
	}
	throw new ApiError(answer.status, body?.error ?? `The daemon answered ${answer.status}.`, body);
}

/**
 * Server-sent events. The browser reconnects by itself; when the server refuses, this tries again later.
 * @param {string} path @param {Record<string, (data: any) => void>} on by name @param {(state: '' | 'Live' | 'Reconnecting …') => void} state
 * @returns {() => void} ends it
 */
export function events(path, on, state) {
	let source, timer, away, gone;
	let pause = 2000;
	const open = () => {
		source = new EventSource(path);
		source.onopen = () => {
			pause = 2000;
			state('Live');
		};
		source.onerror = () => {
			state('Reconnecting …');
			if (source.readyState !== EventSource.CLOSED) return;
			timer = setTimeout(open, pause);
			pause = Math.min(pause * 2, 60_000);
		};
		for (const name in on) source.addEventListener(name, e => on[name](JSON.parse(e.data)));
		source.addEventListener('end', () => {
			source.close();
			state('');
		});
	};
	open();
	const close = () => {
		clearTimeout(timer);
		source.close();
	};
	// Browsers allow few connections to a host: a tab that nobody sees gives its own back.
	const seen = () => {
		clearTimeout(away);
		if (document.hidden)
			away = setTimeout(() => {
				close();
				gone = true;
			}, 1e4);
		else if (gone) {
			gone = false;
			open();
		}
	};
	document.addEventListener('visibilitychange', seen);
	return () => {
		document.removeEventListener('visibilitychange', seen);
		clearTimeout(away);
		close();
	};
}
