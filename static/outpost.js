// The one script of our own: what neither HTML nor htmx says by itself. Everything works without it.
// 1. The button that was pressed shows that it is busy. 2. A press that could not be sent says so and keeps what was typed.
// 3. Whoever leaves a form with something typed and not saved is asked first.
// 4. Where answers decide which questions there are, an answer brings the form that follows from it.
(() => {
  const pressed = new WeakMap();
  document.addEventListener('submit', (event) => event.submitter && pressed.set(event.target, event.submitter), true);
  document.addEventListener('htmx:before:request', ({ target }) => pressed.get(target)?.setAttribute('aria-busy', 'true'));
  document.addEventListener('htmx:finally:request', ({ target }) => {
    pressed.get(target)?.removeAttribute('aria-busy');
    pressed.delete(target);
  });
  document.addEventListener('htmx:error', ({ target }) => {
    const note = document.getElementById('notice');
    if (!note || !(target instanceof HTMLFormElement)) return;
    note.textContent = note.dataset.lost;
    note.hidden = false;
  });
  document.addEventListener('htmx:after:swap', ({ target }) => {
    const note = document.getElementById('notice');
    if (note && target instanceof HTMLFormElement) note.hidden = true;
    if (document.querySelector('#record-form .summary')) unsaved = true;
  });
  let unsaved = false;
  const ofForm = (element) => element.closest?.('#record-form, #design');
  document.addEventListener('input', ({ target }) => { unsaved ||= Boolean(ofForm(target)); });
  document.addEventListener('submit', ({ target, submitter }) => { if (ofForm(target) && !/^(add|remove|up|down|choose|refresh)\b/.test(submitter?.value)) unsaved = false; });
  document.addEventListener('change', ({ target }) => {
    if (target.type !== 'file' && target.closest?.('#record-form')) document.getElementById('record-form-live')?.click();
  });
  document.addEventListener('click', ({ target }) => { if (target.closest?.('.dock a')) unsaved = false; });
  window.addEventListener('beforeunload', (event) => { if (unsaved) event.preventDefault(); });
})();
