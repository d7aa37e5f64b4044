// The path under which the studio is served: "" at the root of a site, or for example "/labels".

export const root = new URL("..", import.meta.url).pathname.replace(/\/$/, "");

// The address of the present page within the studio, as the server knows it.
export const pathInStudio = () => location.pathname.slice(root.length) || "/";
