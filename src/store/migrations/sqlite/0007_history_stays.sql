-- 0004 keeps events from being changed; nothing takes them away either.
CREATE TRIGGER afterimage_history_remains BEFORE DELETE ON afterimage_history
BEGIN SELECT RAISE(ABORT, 'history is only added to'); END;
