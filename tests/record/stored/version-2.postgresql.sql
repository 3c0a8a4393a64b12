SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.remediate_entry (
    change character varying(63) NOT NULL,
    seq integer NOT NULL,
    at character varying(40) NOT NULL,
    kind character varying(64) NOT NULL,
    body text NOT NULL,
    previous character varying(64) NOT NULL,
    hash character varying(64) NOT NULL
);
CREATE TABLE public.remediate_head (
    change character varying(63) NOT NULL,
    begun_at character varying(40) NOT NULL,
    seq integer NOT NULL,
    hash character varying(64) NOT NULL
);
CREATE TABLE public.remediate_lock (
    resource character varying(255) NOT NULL,
    fence bigint NOT NULL,
    change character varying(63),
    host character varying(255),
    boot_id character varying(64),
    pid_namespace character varying(64),
    pid bigint,
    started bigint,
    since character varying(40),
    device character varying(63)
);
CREATE TABLE public.remediate_schema (
    version integer NOT NULL
);
INSERT INTO public.remediate_entry VALUES ('20260301-091500-1a2b', 1, '2026-03-01T09:16:00.000000+00:00', 'planned', '{"operator":"Zoë","plan_sha256":"abababababababababababababababababababababababababababababababab","scope":"…"}', '0000000000000000000000000000000000000000000000000000000000000000', '0d967db4fb5680bea10f3bb555c1a4f7310d7202d2e3e308e37e10d9e665c8ea');
INSERT INTO public.remediate_entry VALUES ('20260301-091500-1a2b', 2, '2026-03-01T09:17:00.000000+00:00', 'pushing', '{"device":"fw-north","text":"it''s \\ \"quoted\"\n\ttwo lines; -- no comment"}', '0d967db4fb5680bea10f3bb555c1a4f7310d7202d2e3e308e37e10d9e665c8ea', 'cafb6490b364c52741cd29e4c016bb4ae3aa3d0141bb6bfaa991d92d5e5be573');
INSERT INTO public.remediate_entry VALUES ('20260301-091500-1a2b', 3, '2026-03-01T09:18:00.000000+00:00', 'ended', '{"exit_status":0}', 'cafb6490b364c52741cd29e4c016bb4ae3aa3d0141bb6bfaa991d92d5e5be573', '7ccba7c5f7cd622d178540fbd48ebc9bb168287d363f7fd59f0cc16cb7f0eccb');
INSERT INTO public.remediate_entry VALUES ('20260301-100000-3c4d', 1, '2026-03-01T09:20:00.000000+00:00', 'planned', '{"operator":"Zoë","plan_sha256":"abababababababababababababababababababababababababababababababab","scope":"…"}', '0000000000000000000000000000000000000000000000000000000000000000', '447f908f79d763f812179ef8069fb6242f9ad11d55069d7a0c0329e75f34aac3');
INSERT INTO public.remediate_entry VALUES ('20260301-100000-3c4d', 2, '2026-03-01T09:21:00.000000+00:00', 'pushing', '{"device":"fw-north","text":"it''s \\ \"quoted\"\n\ttwo lines; -- no comment"}', '447f908f79d763f812179ef8069fb6242f9ad11d55069d7a0c0329e75f34aac3', 'c1ba909b8280535e300ec2b5d9bfe17964253593a470f1e7e43d4b652148abb0');
INSERT INTO public.remediate_entry VALUES ('20260301-100000-3c4d', 3, '2026-03-01T09:22:00.000000+00:00', 'ended', '{"exit_status":0}', 'c1ba909b8280535e300ec2b5d9bfe17964253593a470f1e7e43d4b652148abb0', 'bb87c059e69e573236c667438ec8ab6787082e72dae9529f3f187c797ab7e2ef');
INSERT INTO public.remediate_entry VALUES ('20260301-110000-5e6f', 1, '2026-03-01T09:25:00.000000+00:00', 'planned', '{"plan_sha256":"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"}', '0000000000000000000000000000000000000000000000000000000000000000', 'e0536b295487fcc0a1b4d00e5e721d5f410db844fe83f333418c54086233669a');
INSERT INTO public.remediate_entry VALUES ('20260301-110000-5e6f', 2, '2026-03-01T09:26:00.000000+00:00', 'pushing', '{"device":"fw-south","token":"5e6f-1"}', 'e0536b295487fcc0a1b4d00e5e721d5f410db844fe83f333418c54086233669a', '106e3fec82867f4bb8949189fbda41cb3ef3c6c5bb2585534f056319f285b4fa');
INSERT INTO public.remediate_head VALUES ('20260301-091500-1a2b', '2026-03-01T09:16:00.000000+00:00', 3, '7ccba7c5f7cd622d178540fbd48ebc9bb168287d363f7fd59f0cc16cb7f0eccb');
INSERT INTO public.remediate_head VALUES ('20260301-100000-3c4d', '2026-03-01T09:20:00.000000+00:00', 3, 'bb87c059e69e573236c667438ec8ab6787082e72dae9529f3f187c797ab7e2ef');
INSERT INTO public.remediate_head VALUES ('20260301-110000-5e6f', '2026-03-01T09:25:00.000000+00:00', 2, '106e3fec82867f4bb8949189fbda41cb3ef3c6c5bb2585534f056319f285b4fa');
INSERT INTO public.remediate_lock VALUES ('fw-north', 2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.remediate_lock VALUES ('fw-south', 1, '20260301-110000-5e6f', 'operator-1.example', '7d3c1e52-0a4b-4f7e-9c11-2f6f0a5b8e90', 'pid:[4026531836]', 4711, 123456, '2026-03-01T09:23:00.000000+00:00', NULL);
INSERT INTO public.remediate_lock VALUES ('host-key SHA256:AAAA', 1, '20260301-110000-5e6f', 'operator-1.example', '7d3c1e52-0a4b-4f7e-9c11-2f6f0a5b8e90', 'pid:[4026531836]', 4711, 123456, '2026-03-01T09:24:00.000000+00:00', 'fw-south');
INSERT INTO public.remediate_schema VALUES (2);
ALTER TABLE ONLY public.remediate_entry
    ADD CONSTRAINT remediate_entry_pkey PRIMARY KEY (change, seq);
ALTER TABLE ONLY public.remediate_head
    ADD CONSTRAINT remediate_head_pkey PRIMARY KEY (change);
ALTER TABLE ONLY public.remediate_lock
    ADD CONSTRAINT remediate_lock_pkey PRIMARY KEY (resource);
