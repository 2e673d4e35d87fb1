// The address holds the state of every screen, so that a link shows a colleague the same.

/** @returns {Route} */
export function route() {
	let [, path, id = ''] = location.pathname.split('/');
	try {
		id = decodeURIComponent(id);
	} catch {
		/* no id: the daemon says so */
	}
	return { path, id, params: new URLSearchParams(location.search) };
}

/**
 * An address with parameters changed: null removes one, a list repeats it.
 * @param {string} path @param {Record<string, any>} changes @param {URLSearchParams} [base]
 */
export function link(path, changes, base) {
	const params = new URLSearchParams(base);
	for (const [name, value] of Object.entries(changes)) {
		params.delete(name);
		for (const v of [value].flat()) if (v != null && v !== '') params.append(name, v);
	}
	return params.size ? `${path}?${params}` : path;
}

/** @param {string} href */
export function go(href) {
	history.pushState(null, '', href);
	dispatchEvent(new Event('popstate'));
}

/** Notes a state without drawing anew. @param {string} href */
export const note = href => history.replaceState(null, '', href);

/** A run; `within` is the query of the list that it was opened from. @param {string} id @param {Record<string, any>} [more] */
export const runLink = (id, more = {}) => link(`/runs/${id}`, more);
